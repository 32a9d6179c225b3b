/** The gateway's HTTP face; its parent process and its worker both answer with it. */
import { createHash, timingSafeEqual } from "node:crypto"
import * as Http from "node:http"

import { reply } from "./rules.ts"

const bodyLimit = 64 * 1024

const digest = (text: string) => createHash("sha256").update(text).digest()

const answer = (response: Http.ServerResponse, status: number, body: unknown) => {
  response.writeHead(status, { "content-type": "application/json", connection: "close" })
  response.end(JSON.stringify(body))
}

const readBody = async (request: Http.IncomingMessage): Promise<string | undefined> => {
  let body = ""
  request.setEncoding("utf8")
  for await (const chunk of request) {
    body += String(chunk)
    if (body.length > bodyLimit) return undefined
  }
  return body
}

const messageOf = (body: string | undefined): string | undefined => {
  try {
    const value: unknown = JSON.parse(body ?? "")
    const message = typeof value === "object" && value !== null && "message" in value ? value.message : undefined
    return typeof message === "string" ? message : undefined
  } catch {
    return undefined
  }
}

export const make = (token: string): Http.Server => {
  const wanted = digest(`Bearer ${token}`)
  const handle = async (request: Http.IncomingMessage, response: Http.ServerResponse) => {
    if (request.method === "GET" && request.url === "/health")
      return answer(response, 200, { ok: true, status: "live" })
    if (request.method !== "POST" || request.url !== "/message") return answer(response, 404, { error: "not found" })
    if (!timingSafeEqual(digest(request.headers.authorization ?? ""), wanted)) {
      return answer(response, 401, { error: "unauthorized: gateway token mismatch" })
    }
    const message = messageOf(await readBody(request))
    return message === undefined
      ? answer(response, 400, { error: 'expected {"message":"…"}' })
      : answer(response, 200, { reply: reply(message) })
  }
  return Http.createServer((request, response) => {
    // The client hung up in the middle of its request.
    handle(request, response).catch(() => response.destroy())
  })
}
