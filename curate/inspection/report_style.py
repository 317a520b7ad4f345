"""The style of a report: calm, readable on paper and on a telephone, in light and in dark."""

_LIGHT = """
  color-scheme: light dark;
  --page: #fbfaf7; --sheet: #ffffff; --ink: #1f2328; --soft: #57606a; --line: #d9d6cf;
  --web: #1f64ad; --synthetic: #b4531a; --human: #2f7440; --canary: #6b5b95; --other: #57606a;
  --stop: #a33232; --good: #2a6f3c; --rail: #e9e6df; --warn: #fff4d6;
"""

_DARK = """
    --page: #15171a; --sheet: #1c1f23; --ink: #e8e5df; --soft: #a9afb7; --line: #383d44;
    --web: #7db4ee; --synthetic: #eda36d; --human: #86c995; --canary: #bbaae0; --other: #a9afb7;
    --stop: #f08f8f; --good: #86c995; --rail: #2c3137; --warn: #3a3118;
"""

_TABLES = """
.scroll { overflow-x: auto; max-width: 100%; }
table { border-collapse: collapse; margin: .75rem 0; font-size: .92rem;
  font-variant-numeric: tabular-nums; }
caption { text-align: left; color: var(--soft); padding-bottom: .35rem; font-size: .88rem; }
th, td { padding: .28rem .9rem .28rem 0; text-align: left; vertical-align: baseline;
  border-bottom: 1px solid var(--line); }
th { font-weight: 500; }
thead th { color: var(--soft); font-size: .85rem; vertical-align: bottom; }
th.number, td.number { text-align: right; }
td.number { white-space: nowrap; }
thead th.number { max-width: 9rem; }
"""

_CHARTS = """
.charts { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 29rem), 1fr));
  gap: 1.25rem; align-items: start; }
figure { margin: 0; }
.charts figure { background: var(--sheet); border: 1px solid var(--line); border-radius: 8px;
  padding: 1rem 1.1rem; min-width: 0; }
.charts h3 { margin-top: 0; }
.charts figcaption { font-size: .88rem; }
.chart { display: block; width: 100%; min-width: 26rem; height: auto; }
.chart text { font-size: 12.5px; fill: var(--ink); }
.chart .tick { fill: var(--soft); font-size: 11.5px; }
.chart .middle { text-anchor: middle; }
.chart .end { text-anchor: end; }
.chart .axis { stroke: var(--soft); stroke-width: 1; }
.chart .threshold { stroke: var(--ink); stroke-width: 1.5; stroke-dasharray: 4 3; }
.chart .threshold-label { font-size: 11.5px; font-weight: 600; paint-order: stroke;
  stroke: var(--sheet); stroke-width: 4px; }
.series.web { fill: var(--web); }
.series.synthetic { fill: var(--synthetic); }
.series.human { fill: var(--human); }
.series.canary { fill: var(--canary); }
.series.other { fill: var(--other); }
"""

#: Of a whole page.
STYLE = (
    ":root {" + _LIGHT + "}\n"
    "@media (prefers-color-scheme: dark) { :root {"
    + _DARK
    + "} }"
    + """
* { box-sizing: border-box; }
html { scroll-padding-top: 1rem; }
body {
  margin: 0 auto; padding: 2.5rem clamp(1rem, 4vw, 3rem) 4rem; max-width: 74rem;
  background: var(--page); color: var(--ink);
  font: 1rem/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif;
}
h1, h2, h3 { line-height: 1.2; text-wrap: balance; font-weight: 650; overflow-wrap: anywhere; }
h1 { font-size: 2rem; margin: 0 0 .25rem; letter-spacing: -.01em; }
h2 { font-size: 1.35rem; margin: 3rem 0 .5rem; padding-top: 1rem;
  border-top: 1px solid var(--line); }
h3 { font-size: 1.05rem; margin: 1.75rem 0 .5rem; }
p { max-width: 46rem; margin: .5rem 0; overflow-wrap: anywhere; }
a { color: var(--web); text-underline-offset: .15em; }
:focus-visible { outline: 3px solid var(--web); outline-offset: 2px; border-radius: 2px; }
.skip { position: absolute; left: -100rem; }
.skip:focus { left: 1rem; top: .5rem; background: var(--sheet); padding: .5rem 1rem; }
.soft, figcaption, .where { color: var(--soft); }
.remark { background: var(--warn); border-left: 4px solid var(--synthetic); padding: .5rem .9rem; }
nav ul { display: flex; flex-wrap: wrap; gap: .25rem 1.1rem; padding: 0; margin: 1.25rem 0 0;
  list-style: none; }
.facts { display: grid; grid-template-columns: repeat(auto-fit, minmax(9.5rem, 1fr)); gap: .75rem;
  margin: 1.5rem 0 0; padding: 0; }
.facts div { background: var(--sheet); border: 1px solid var(--line); border-radius: 8px;
  padding: .8rem 1rem; }
.facts dt { color: var(--soft); font-size: .85rem; }
.facts dd { margin: 0; font-size: 1.6rem; font-weight: 650; line-height: 1.25;
  font-variant-numeric: tabular-nums; }
.facts dd small { font-size: .85rem; font-weight: 400; color: var(--soft); display: block; }
"""
    + _TABLES
    + """.tables { display: flex; flex-wrap: wrap; gap: 0 4rem; align-items: flex-start; }
td:has(.bar) { width: 9rem; min-width: 6rem; }
.bar { display: block; width: 9rem; height: .6rem; }
.bar .rail { fill: var(--rail); }
.bar .fill { fill: var(--web); }
.bar.stop .fill { fill: var(--stop); }
.bar.good .fill { fill: var(--good); }
"""
    + _CHARTS
    + """details { margin: .5rem 0; }
summary { cursor: pointer; color: var(--soft); font-size: .9rem; }
.pairs { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 19rem), 1fr));
  gap: 1rem; padding: 0; margin: 1rem 0; list-style: none; }
.pairs > li { background: var(--sheet); border: 1px solid var(--line); border-radius: 8px;
  padding: .8rem; break-inside: avoid; min-width: 0; }
.pairs img, .pairs .no-picture { display: flex; align-items: center; justify-content: center;
  height: 160px; max-width: 100%; object-fit: contain; margin: 0 auto .6rem; color: var(--soft); }
.pairs .texts { padding: 0; margin: 0; list-style: none; }
.pairs .texts li { border-top: 1px solid var(--line); padding: .45rem 0; }
.pairs p { margin: .1rem 0; }
.pairs .about { font-size: .83rem; color: var(--soft); font-variant-numeric: tabular-nums; }
.pairs .where { font-size: .78rem; }
.tag { font-weight: 600; }
.tag.good { color: var(--good); }
.tag.stop { color: var(--stop); }
pre { background: var(--sheet); border: 1px solid var(--line); border-radius: 8px; padding: 1rem;
  overflow-x: auto; font: .82rem/1.5 ui-monospace, "SF Mono", Menlo, Consolas, monospace; }
footer { margin-top: 3rem; color: var(--soft); font-size: .88rem; }
@media print {
  :root { --page: #fff; --sheet: #fff; }
  body { padding: 0; max-width: none; font-size: 10pt; }
  nav, .skip { display: none; }
  h2, h3 { break-after: avoid; }
  figure, tr, .facts div { break-inside: avoid; }
  .scroll { overflow: visible; }
  .charts { grid-template-columns: 1fr 1fr; }
  .chart { min-width: 0; }
  details:not([open]) { display: none; }
  .bar, .series { print-color-adjust: exact; }
}
"""
)


def inside(name: str) -> str:
    """Return the style of tables and charts for one element of somebody else's page.

    Args:
        name: the element's class.
    """
    return (
        f".{name} {{{_LIGHT}background: var(--page); color: var(--ink); padding: .5rem 1rem;\n"
        f"font: 1rem/1.55 system-ui, sans-serif;\n{_TABLES}{_CHARTS}}}\n"
        f"@media (prefers-color-scheme: dark) {{ .{name} {{{_DARK}}} }}\n"
    )
