/** The dashboard: one static page without data, which loads nothing from elsewhere. */
import * as Crypto from "node:crypto"

import { script } from "./dashboardScript.ts"
import { style } from "./dashboardStyle.ts"

export const html = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<title>System health</title>
<link rel="icon" href="data:,">
<style>${style}</style>
</head>
<body>
<div class="wrap">
<header>
  <div class="grow">
    <h1>System health</h1>
    <p class="summary" id="summary"></p>
  </div>
  <span class="connection" id="connection" data-state="waiting" role="status"
    ><span class="dot"></span><span id="connection-text">Connecting…</span></span>
  <button type="button" class="primary" id="everything" hidden>Recover everything</button>
</header>
<noscript><p class="panel">This page needs JavaScript. The same is at <code>GET /api/system/auto-recovery</code>.</p></noscript>
<p class="visually-hidden" id="announce" aria-live="polite"></p>
<p class="outcome bad" id="everything-outcome" role="status"></p>
<section class="panel" id="sign-in" hidden aria-labelledby="sign-in-title">
  <h2 id="sign-in-title">Sign in</h2>
  <p id="sign-in-why" role="alert"></p>
  <p>The program prints an address of this page that signs you in once. Open the newest one, or enter the console's
    token.</p>
  <form id="sign-in-form">
    <label for="token">Token
      <input id="token" name="token" type="password" autocomplete="off" spellcheck="false" required></label>
    <button type="submit" class="primary">Sign in</button>
  </form>
</section>
<main id="content" hidden>
  <section class="cards" id="cards" aria-label="Components"></section>
  <p class="empty" id="no-components" hidden>No components are watched.</p>
  <h2>Statistics</h2>
  <dl class="tiles">
    <div><dt>Incidents ended</dt><dd id="total">–</dd></div>
    <div><dt>Healed</dt><dd id="rate">–</dd></div>
    <div><dt>Mean time to recovery</dt><dd id="time">–</dd></div>
    <div><dt>Most common error</dt><dd id="error">–</dd></div>
    <div><dt>Most incidents</dt><dd id="worst">–</dd></div>
  </dl>
  <h2>Recovery log</h2>
  <p class="empty" id="no-log">Nothing was recovered yet.</p>
  <div class="scroll" id="log-scroll" hidden>
    <table>
      <thead><tr><th scope="col">Time</th><th scope="col">Component</th><th scope="col">Error</th>
        <th scope="col">Diagnosis</th><th scope="col">Action</th><th scope="col">Result</th></tr></thead>
      <tbody id="log"></tbody>
    </table>
  </div>
</main>
</div>
<script>${script}</script>
</body>
</html>
`

const hash = (text: string): string => `'sha256-${Crypto.createHash("sha256").update(text, "utf8").digest("base64")}'`

export const headers = {
  // Only this very script and style: markup that got in regardless would stay dead.
  "content-security-policy": [
    "default-src 'none'",
    `script-src ${hash(script)}`,
    `style-src ${hash(style)}`,
    "connect-src 'self'",
    "img-src data:",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'"
  ].join("; "),
  "cross-origin-opener-policy": "same-origin",
  "x-frame-options": "DENY"
}
