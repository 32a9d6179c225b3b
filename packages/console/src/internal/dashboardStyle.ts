/** The dashboard's style sheet. Colours are never the only sign: every state is written out. */
export const style = `
:root {
  color-scheme: light dark;
  --bg: #f5f6f8; --card: #ffffff; --line: #dfe3e8; --text: #1c232b; --soft: #5a6673; --accent: #2457c5; --on-accent: #fff;
  --good: #17703b; --good-bg: #dcf3e4; --warn: #855400; --warn-bg: #fdeecb; --bad: #b0201c; --bad-bg: #fde2e0;
  --busy: #1f4fb0; --busy-bg: #dfe9fd; --idle: #505b67; --idle-bg: #e7eaee;
}
@media (prefers-color-scheme: dark) {
  :root {
    --bg: #101418; --card: #181e24; --line: #2b343d; --text: #e6eaee; --soft: #9aa7b4; --accent: #7aa5ff; --on-accent: #0b1220;
    --good: #74d99a; --good-bg: #15341f; --warn: #f2c15c; --warn-bg: #3a2c0c; --bad: #ff9a92; --bad-bg: #45191a;
    --busy: #9dbdff; --busy-bg: #17284c; --idle: #b3bec9; --idle-bg: #29323b;
  }
}
* { box-sizing: border-box; }
[hidden] { display: none !important; }
body { margin: 0; background: var(--bg); color: var(--text); font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
.wrap { max-width: 1120px; margin: 0 auto; padding: 24px 20px 56px; }
header { display: flex; flex-wrap: wrap; gap: 12px 20px; align-items: center; margin-bottom: 20px; }
h1 { font-size: 22px; line-height: 1.2; margin: 0; letter-spacing: -0.01em; }
h2 { font-size: 16px; margin: 32px 0 12px; }
.summary { color: var(--soft); margin: 2px 0 0; }
.grow { flex: 1 1 240px; min-width: 0; }
.connection { display: inline-flex; align-items: center; gap: 8px; color: var(--soft); font-size: 13px; }
.dot { width: 9px; height: 9px; border-radius: 50%; background: var(--idle); flex: none; }
.connection[data-state="live"] .dot { background: var(--good); }
.connection[data-state="lost"] .dot { background: var(--bad); }
.connection[data-state="waiting"] .dot { background: var(--warn); }
button { font: inherit; font-weight: 550; border: 1px solid var(--line); background: var(--card); color: var(--text); border-radius: 8px; padding: 7px 14px; cursor: pointer; }
button:hover:not(:disabled) { border-color: var(--accent); }
button.primary { background: var(--accent); border-color: var(--accent); color: var(--on-accent); }
button:disabled { opacity: 0.6; cursor: progress; }
button:focus-visible, input:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
.cards { display: grid; gap: 14px; grid-template-columns: repeat(auto-fill, minmax(min(100%, 330px), 1fr)); }
.card, .panel { background: var(--card); border: 1px solid var(--line); border-radius: 12px; padding: 16px 18px; min-width: 0; }
.card { display: flex; flex-direction: column; gap: 10px; border-top: 3px solid var(--tone, var(--line)); }
.card-head { display: flex; gap: 10px; align-items: flex-start; justify-content: space-between; }
.card h3 { font-size: 16px; margin: 0; overflow-wrap: anywhere; }
.pill { display: inline-block; flex: none; border-radius: 999px; padding: 1px 10px; font-size: 12.5px; font-weight: 600; color: var(--tone); background: var(--tone-bg); }
.good { --tone: var(--good); --tone-bg: var(--good-bg); }
.warn { --tone: var(--warn); --tone-bg: var(--warn-bg); }
.bad { --tone: var(--bad); --tone-bg: var(--bad-bg); }
.busy { --tone: var(--busy); --tone-bg: var(--busy-bg); }
.idle { --tone: var(--idle); --tone-bg: var(--idle-bg); }
.meta { color: var(--soft); font-size: 13px; display: flex; flex-wrap: wrap; gap: 2px 16px; margin: 0; }
.detail { margin: 0; overflow-wrap: anywhere; }
.probes { list-style: none; margin: 0; padding: 10px 0 0; border-top: 1px solid var(--line); display: grid; gap: 8px; font-size: 13.5px; }
.probe-head { display: flex; gap: 8px; justify-content: space-between; align-items: baseline; overflow-wrap: anywhere; }
.probe-head .pill { flex: 0 1 auto; border-radius: 10px; text-align: right; }
.evidence { margin: 3px 0 0; padding-left: 18px; color: var(--soft); overflow-wrap: anywhere; }
.card-foot { margin-top: auto; padding-top: 4px; display: flex; flex-wrap: wrap; gap: 8px 12px; align-items: center; }
.outcome { font-size: 13.5px; margin: 0; overflow-wrap: anywhere; color: var(--tone, var(--soft)); flex: 1 1 160px; }
.tiles { display: grid; gap: 12px; grid-template-columns: repeat(auto-fit, minmax(170px, 1fr)); margin: 0; }
.tiles > div { background: var(--card); border: 1px solid var(--line); border-radius: 12px; padding: 12px 16px; min-width: 0; }
dt { color: var(--soft); font-size: 13px; }
dd { margin: 0; font-size: 17px; font-weight: 600; overflow-wrap: anywhere; font-variant-numeric: tabular-nums; }
#error, #worst { font-size: 15px; line-height: 26px; }
.scroll { overflow-x: auto; background: var(--card); border: 1px solid var(--line); border-radius: 12px; }
table { border-collapse: collapse; width: 100%; font-size: 13.5px; }
th { text-align: left; font-weight: 600; color: var(--soft); font-size: 12.5px; }
th, td { padding: 9px 14px; vertical-align: top; border-bottom: 1px solid var(--line); overflow-wrap: break-word; }
td:nth-child(4), td:nth-child(5) { overflow-wrap: anywhere; }
td .pill { white-space: nowrap; }
tbody tr:last-child td { border-bottom: 0; }
td:first-child { white-space: nowrap; font-variant-numeric: tabular-nums; }
.empty { color: var(--soft); margin: 0; padding: 14px 18px; }
.stale { opacity: 0.55; }
.panel { max-width: 560px; }
.panel h2 { margin-top: 0; }
code { background: var(--idle-bg); border-radius: 5px; padding: 1px 5px; font-size: 13px; }
form { display: flex; gap: 8px; flex-wrap: wrap; align-items: end; margin-top: 14px; }
label { display: grid; gap: 4px; flex: 1 1 240px; font-size: 13px; color: var(--soft); }
input { font: inherit; padding: 7px 10px; border-radius: 8px; border: 1px solid var(--line); background: var(--bg); color: var(--text); min-width: 0; width: 100%; }
.visually-hidden { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
@media (max-width: 700px) {
  thead { display: none; }
  tr { display: block; padding: 10px 14px; border-bottom: 1px solid var(--line); }
  td, td:first-child { display: flex; gap: 10px; padding: 2px 0; border: 0; white-space: normal; }
  td::before { content: attr(data-label); color: var(--soft); flex: 0 0 84px; }
}
`
