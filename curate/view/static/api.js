// Questions to the server, and what went wrong with them.

let key = "";

async function answer(response) {
  const said = await response.json().catch(() => ({ error: `the server said ${response.status}` }));
  if (!response.ok) throw new Error(said.error);
  return said;
}

async function reached(call) {
  try {
    return await call();
  } catch (error) {
    if (error instanceof TypeError) throw new Error("'curate view' has ended: start it again");
    throw error;
  }
}

export const get = (path) => reached(async () => answer(await fetch(path)));

export async function begin() {
  const state = await get("api/state");
  key = state.key;
  return state;
}

export const picture = (kind, pair) => `${kind}/${pair.partition}/${pair.row}`;

export const post = (path, body, { signal = undefined } = {}) =>
  reached(async () => {
    const raw = body instanceof Blob;
    return answer(
      await fetch(path, {
        method: "POST",
        headers: { "X-Curate-Key": key, ...(raw ? {} : { "Content-Type": "application/json" }) },
        body: raw ? body : JSON.stringify(body),
        signal,
      }),
    );
  });

// Of questions that overtake each other only the last is waited for.
export function latest(path) {
  let running = null;
  return async (body) => {
    running?.abort();
    running = new AbortController();
    try {
      return await post(path, body, { signal: running.signal });
    } catch (error) {
      if (error.name === "AbortError") return null;
      throw error;
    }
  };
}
