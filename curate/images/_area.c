/* Area-averaging of uint8 RGB pictures: the arithmetic of OpenCV's INTER_AREA, vectorised.
 *
 * OpenCV walks a row tap by tap in scalar code, which for pictures of the web costs more than
 * decoding them. Here a row becomes floats once and a pixel's channels travel together in a
 * vector. Every product and sum is the one OpenCV computes, in its order and in single precision,
 * so the pixels are equal; the compiler must therefore not contract them (-ffp-contract=off).
 *
 * Source: https://github.com/opencv/opencv, modules/imgproc/src/resize.cpp, whose weights and
 * order of summation are the specification.
 */
#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000
#include <Python.h>
#include <assert.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { CHANNELS = 3 };

/* A pixel, and one float of the next: a vector type of GCC and Clang, on any processor. */
typedef float Pixel __attribute__((vector_size(16)));

/* On Linux the processor's own choice of two versions, of which AVX2 is a fifth faster. */
#if defined(__x86_64__) && defined(__GLIBC__)
#define TWICE __attribute__((target_clones("avx2", "default")))
#else
#define TWICE
#endif

/* A share of a pixel below this is left out. */
static const double LEAST_SHARE = 1e-3;

/* Where the pixels of one axis of the target come from.
 *
 * first[i]: the first source pixel of target pixel i; weight[i * most] and on: the weights of that
 * one and the next. All have as many, the last of them 0 where fewer count: a loop of constant
 * length is predicted, and adding 0 changes no sum.
 */
typedef struct {
    Py_ssize_t most, *first;
    float *weight;
    Pixel *spread; /* the weights once for each channel */
} Taps;

static double smaller(double a, double b) { return a < b ? a : b; }

static int make_taps(Taps *taps, Py_ssize_t source, Py_ssize_t target) {
    const double scale = 1.0 / ((double)target / (double)source);
    taps->most = (Py_ssize_t)scale + 2;
    taps->first = malloc(sizeof(Py_ssize_t) * (size_t)target);
    taps->weight = calloc((size_t)(taps->most * target), sizeof(float));
    taps->spread = malloc(sizeof(Pixel) * (size_t)(taps->most * target));
    if (!taps->first || !taps->weight || !taps->spread)
        return 0;
    for (Py_ssize_t i = 0; i < target; i++) {
        float *weight = taps->weight + i * taps->most;
        const double begin = (double)i * scale, end = begin + scale;
        const double width = smaller(scale, (double)source - begin);
        const Py_ssize_t last = (Py_ssize_t)smaller(floor(end), (double)(source - 1));
        const Py_ssize_t whole = (Py_ssize_t)smaller(ceil(begin), (double)last);
        const int partial = (double)whole - begin > LEAST_SHARE;
        taps->first[i] = partial ? whole - 1 : whole;
        if (partial)
            *weight++ = (float)(((double)whole - begin) / width);
        for (Py_ssize_t j = whole; j < last; j++)
            *weight++ = (float)(1.0 / width);
        if (end - (double)last > LEAST_SHARE)
            *weight++ = (float)(smaller(smaller(end - (double)last, 1.0), width) / width);
        assert(weight - taps->weight <= (i + 1) * taps->most);
    }
    for (Py_ssize_t k = 0; k < taps->most * target; k++)
        taps->spread[k] = (Pixel){0, 0, 0, 0} + taps->weight[k];
    return 1;
}

static void free_taps(Taps *taps) {
    free(taps->first);
    free(taps->weight);
    free(taps->spread);
}

/* Average a row; out gets one float more than the target's. */
static inline void average_row_of(Py_ssize_t most, const float *restrict row, const Taps *taps,
                                  Py_ssize_t target, float *restrict out) {
    const Pixel *weight = taps->spread;
    for (Py_ssize_t i = 0; i < target; i++, weight += most) {
        const float *at = row + taps->first[i] * CHANNELS;
        Pixel sum = {0, 0, 0, 0}, pixel;
        for (Py_ssize_t k = 0; k < most; k++) {
            memcpy(&pixel, at + k * CHANNELS, sizeof pixel);
            sum += pixel * weight[k];
        }
        memcpy(out + i * CHANNELS, &sum, sizeof sum);
    }
}

/* The common lengths are constants, so that the compiler unrolls the inner loop. */
TWICE static void average_row(const float *row, const Taps *taps, Py_ssize_t target, float *out) {
    switch (taps->most) {
    case 3: average_row_of(3, row, taps, target, out); break;
    case 4: average_row_of(4, row, taps, target, out); break;
    case 5: average_row_of(5, row, taps, target, out); break;
    case 6: average_row_of(6, row, taps, target, out); break;
    default: average_row_of(taps->most, row, taps, target, out);
    }
}

TWICE static void to_floats(float *restrict out, const uint8_t *restrict row, Py_ssize_t n) {
    for (Py_ssize_t i = 0; i < n; i++)
        out[i] = (float)row[i];
}

TWICE static void scale_row(float *restrict sum, const float *restrict row, float weight,
                            Py_ssize_t n) {
    for (Py_ssize_t i = 0; i < n; i++)
        sum[i] = row[i] * weight;
}

TWICE static void add_row(float *restrict sum, const float *restrict row, float weight,
                          Py_ssize_t n) {
    for (Py_ssize_t i = 0; i < n; i++)
        sum[i] += row[i] * weight;
}

/* Round to nearest, ties to even: adding 2^23 leaves no bit for a fraction. */
static void store_row(uint8_t *restrict out, const float *restrict sum, Py_ssize_t n) {
    for (Py_ssize_t i = 0; i < n; i++) {
        const float shifted = sum[i] + 8388608.0f;
        uint32_t bits;
        memcpy(&bits, &shifted, sizeof bits);
        out[i] = (uint8_t)bits;
    }
}

static int shrink_picture(const uint8_t *source, Py_ssize_t height, Py_ssize_t width,
                          uint8_t *target, Py_ssize_t rows, Py_ssize_t columns) {
    Taps across = {0}, down = {0};
    const Py_ssize_t in = width * CHANNELS, out = columns * CHANNELS;
    int done = make_taps(&across, width, columns) && make_taps(&down, height, rows);
    /* Behind a row lie zeros, for weights of 0 may belong to pixels behind its end. */
    float *floats = calloc((size_t)(in + (across.most + 1) * CHANNELS), sizeof(float));
    float *row = malloc(sizeof(float) * (size_t)(out + 1));
    float *sum = malloc(sizeof(float) * (size_t)out);
    done = done && floats && row && sum;
    Py_ssize_t averaged = -1;
    for (Py_ssize_t y = 0; done && y < rows; y++) {
        const float *weight = down.weight + y * down.most;
        Py_ssize_t from = down.first[y];
        for (Py_ssize_t k = 0; k < down.most && weight[k] > 0; k++, from++) {
            if (from != averaged) { /* else the row ends one target row and begins the next */
                to_floats(floats, source + from * in, in);
                average_row(floats, &across, columns, row);
                averaged = from;
            }
            (k ? add_row : scale_row)(sum, row, weight[k], out);
        }
        store_row(target + y * out, sum, out);
    }
    free_taps(&across);
    free_taps(&down);
    free(floats);
    free(row);
    free(sum);
    return done;
}

/* Whether a buffer holds just such a picture, whatever numbers a caller gives. */
static int fits(const Py_buffer *view, Py_ssize_t height, Py_ssize_t width) {
    const Py_ssize_t pixels = view->len / CHANNELS;
    return height > 0 && width > 0 && width <= pixels / height && width * height == pixels &&
           view->len % CHANNELS == 0;
}

static PyObject *shrink(PyObject *module, PyObject *args) {
    (void)module;
    Py_buffer source, target;
    Py_ssize_t height, width, rows, columns;
    if (!PyArg_ParseTuple(args, "y*nnw*nn:shrink", &source, &height, &width, &target, &rows,
                          &columns))
        return NULL;
    PyObject *result = NULL;
    if (!fits(&source, height, width) || !fits(&target, rows, columns)) {
        PyErr_Format(PyExc_ValueError,
                     "%zd and %zd bytes are not RGB pictures of %zd x %zd and %zd x %zd pixels",
                     source.len, target.len, width, height, columns, rows);
    } else if (rows > height || columns > width) {
        PyErr_Format(PyExc_ValueError, "%zd x %zd pixels do not shrink to %zd x %zd", width, height,
                     columns, rows);
    } else {
        int done;
        Py_BEGIN_ALLOW_THREADS
        done = shrink_picture(source.buf, height, width, target.buf, rows, columns);
        Py_END_ALLOW_THREADS
        result = done ? Py_NewRef(Py_None) : PyErr_NoMemory();
    }
    PyBuffer_Release(&source);
    PyBuffer_Release(&target);
    return result;
}

static PyMethodDef methods[] = {
    {"shrink", shrink, METH_VARARGS,
     "shrink(source, height, width, target, rows, columns)\n--\n\n"
     "Average a C-contiguous RGB picture of height x width into one of rows x columns."},
    {NULL, NULL, 0, NULL},
};

static PyModuleDef_Slot slots[] = {{0, NULL}};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "_area", "Area-averaging, pixel-equal to OpenCV's INTER_AREA.", 0,
    methods, slots, NULL, NULL, NULL,
};

PyMODINIT_FUNC PyInit__area(void) { return PyModuleDef_Init(&definition); }
