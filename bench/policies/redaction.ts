/** How long it takes to redact a structured log record of 10 KB, as a text and as a value, with ten secrets loaded. */
import * as Redaction from "../../packages/core/src/Redaction.ts"
import { median, percentile, type Row, row } from "../report.ts"

const suite = "policies"
const samples = 4000
const warmUp = 1000

// Fabricated, and in parts, so that scanners of repositories do not take them for real.
const secrets = [
  ["sk-", "proj-T3BlbkFJabcdEFGH1234ijklMNOP5678qrstUVWX"],
  ["gsk_", "1a2b3c4d5e6f7g8h9i0jKLMNOPQRSTUVWXYZabcdefghij"],
  ["xoxb-", "123456789012-abcdefGHIJKLmnop"],
  ["ghp_", "16C7e42F292c6912E7710c838347Ae178B4a"],
  ["wJalrXUtnFEMI", "/K7MDENG+bPxRfiCYzzEXAMPLEKEY"],
  ["c0rrect-h0rse-", "battery-staple-2026"],
  ['p@ss"w\\ord/', "with+100%&<special>?"],
  ["dG9rZW4tb2YtdGhl", "LWdhdGV3YXk5ODc2NTQzMjE"],
  ["7f9c24e8-3b12-4f5e", "-9d6a-2c8b1e0f4a7d"],
  ["redis-pässwörd-", "€-42"]
].map((parts) => parts.join(""))

/** A record of a web server and what it called, about 10 KB as JSON. */
const record = (leaks: ReadonlyArray<string>) => ({
  time: "2026-03-01T12:30:45.123Z",
  level: "info",
  service: "checkout",
  pid: 48_213,
  traceId: "4bf92f3577b34da6a3ce929d0e0e4736",
  request: {
    method: "POST",
    url: "https://shop.example.com:8443/api/v2/orders?page=2&sort=created_at",
    headers: {
      "user-agent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko)",
      accept: "application/json",
      "content-type": "application/json; charset=utf-8",
      "x-request-id": "9f1c2d3e-4b5a-4678-9abc-def012345678"
    },
    note: leaks[0] ?? "none"
  },
  usage: { max_tokens: 4096, prompt_tokens: 1200 },
  calls: Array.from({ length: 34 }, (_, index) => ({
    name: `inventory.reserve.${index}`,
    startedAt: `2026-03-01T12:30:45.${100 + index}Z`,
    durationNanos: 1_772_368_245_123_456 + index,
    target: `http://10.0.0.${index}:8080/stock/item-${index}`,
    status: index % 7 === 0 ? "retried" : "succeeded",
    message: `reserved ${index} pieces of item ${index * 37} in the warehouse of Gdynia, answer within ${index + 3} ms`,
    detail: index % 12 === 5 ? (leaks[1 + (index % 4)] ?? "cached") : "cached"
  }))
})

const clean = record([])
const leaking = record([`Bearer ${secrets[7]}`, `password=${secrets[6]}`, `postgres://app:${secrets[5]}@db/`])

const measure = (run: () => unknown): ReadonlyArray<number> => {
  const times: Array<number> = []
  for (let round = 0; round < warmUp + samples; round += 1) {
    const before = process.hrtime.bigint()
    run()
    const after = process.hrtime.bigint()
    if (round >= warmUp) times.push(Number(after - before) / 1000)
  }
  return times
}

const rows = (what: string, times: ReadonlyArray<number>, limit?: number): ReadonlyArray<Row> => [
  row({
    suite,
    name: `redaction, ${what}, median`,
    value: median(times),
    unit: "µs",
    ...(limit === undefined
      ? {}
      : { target: { text: `median ≤ ${limit} µs`, holds: (value: number) => value <= limit } })
  }),
  row({ suite, name: `redaction, ${what}, p99`, value: percentile(times, 0.99), unit: "µs" })
]

export const run = (): ReadonlyArray<Row> => {
  const redactor = Redaction.make(secrets)
  const texts = { clean: JSON.stringify(clean), leaking: JSON.stringify(leaking) }
  const size = `${(texts.clean.length / 1000).toFixed(1)} KB`
  if (redactor.text(texts.clean) !== texts.clean || redactor.text(texts.leaking).split(Redaction.mask).length < 5) {
    throw new Error("the records are not what they are taken for")
  }
  return [
    ...rows(
      `text of ${size}, clean`,
      measure(() => redactor.text(texts.clean)),
      50
    ),
    ...rows(
      `text of ${size}, with secrets`,
      measure(() => redactor.text(texts.leaking)),
      50
    ),
    ...rows(
      `nested value of ${size}, clean`,
      measure(() => redactor.value(clean))
    ),
    ...rows(
      `nested value of ${size}, with secrets`,
      measure(() => redactor.value(leaking))
    ),
    ...rows(
      "ten secrets loaded",
      measure(() => Redaction.make(secrets))
    )
  ]
}
