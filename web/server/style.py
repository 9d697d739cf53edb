"""The style sheet of the catalogue's page: in the page, so that it needs no second request."""

CATALOGUE_CSS = """
:root {
  color-scheme: light dark;
  --page: #f4f5f7; --card: #fff; --ink: #16191d; --soft: #59616b; --line: #dfe3e8; --chip: #edf0f3;
  --accent: #0a5fd0; --frame: #0c0e11; --warn: #9a3412; --warn-back: #fff3e8;
  --shadow: 0 1px 2px rgb(15 23 42 / .06), 0 4px 14px rgb(15 23 42 / .05);
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #0f1114; --card: #181b20; --ink: #e9ecf0; --soft: #9aa4b0; --line: #292e36; --chip: #242930;
    --accent: #76b0ff; --frame: #08090b; --warn: #fdba74; --warn-back: #2b1d12; --shadow: none;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0; background: var(--page); color: var(--ink);
  font: 15px/1.45 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif;
}
header, main { max-width: 1500px; margin: 0 auto; padding: 0 clamp(16px, 3vw, 36px); }
header { display: flex; align-items: center; gap: 6px 14px; flex-wrap: wrap; padding-top: 26px; padding-bottom: 18px; }
h1 { display: flex; align-items: center; gap: 10px; margin: 0; font-size: 22px; font-weight: 650;
  letter-spacing: -.01em; }
h1 svg { width: 24px; height: 24px; display: block; }
header p { margin: 0; color: var(--soft); }
ul.images { list-style: none; margin: 0; padding: 0 0 48px; display: grid; gap: 18px;
  grid-template-columns: repeat(auto-fill, minmax(min(100%, 250px), 1fr)); }
.card { position: relative; display: flex; flex-direction: column; height: 100%; overflow: hidden;
  background: var(--card); border: 1px solid var(--line); border-radius: 12px; box-shadow: var(--shadow);
  transition: border-color .15s, transform .15s; }
.card:hover { border-color: var(--accent); }
.card:focus-within { outline: 3px solid var(--accent); outline-offset: 2px; }
@media (prefers-reduced-motion: no-preference) { .card:hover { transform: translateY(-2px); } }
.picture { position: relative; aspect-ratio: 4 / 3; background: var(--frame); display: grid; place-items: center; }
.picture img { position: absolute; width: 100%; height: 100%; object-fit: cover; }
.picture img.long { object-fit: contain; }
.text { padding: 12px 14px 14px; display: flex; flex-direction: column; gap: 6px; flex: 1; }
h2 { margin: 0; font-size: 15.5px; font-weight: 600; line-height: 1.3; overflow-wrap: anywhere; }
h2 a { color: inherit; text-decoration: none; outline: none; }
h2 a::after { content: ""; position: absolute; inset: 0; }
.folder { margin: -4px 0 0; color: var(--soft); font: 12px/1.4 ui-monospace, "SF Mono", Menlo, Consolas, monospace;
  overflow-wrap: anywhere; }
.size { margin: 0; color: var(--soft); font-size: 13.5px; font-variant-numeric: tabular-nums; }
.chips { list-style: none; display: flex; flex-wrap: wrap; gap: 5px; margin: auto 0 0; padding: 4px 0 0; }
.chips li { background: var(--chip); color: var(--soft); border-radius: 6px; padding: 1px 7px; font-size: 12px; }
.broken .picture { background: var(--warn-back); color: var(--warn); }
.broken .picture svg { width: 44px; height: 44px; }
.problem { margin: 0; color: var(--warn); font-size: 13px; overflow-wrap: anywhere; }
.empty { max-width: 42em; margin: 8vh auto; text-align: center; color: var(--soft); }
.empty strong { display: block; color: var(--ink); font-size: 18px; margin-bottom: 6px; }
code { font: 13px ui-monospace, "SF Mono", Menlo, Consolas, monospace; background: var(--chip); color: var(--ink);
  border-radius: 6px; padding: 2px 7px; }
.hidden { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
"""
