/**
 * What asks a supervised app to end: signals, a message of PM2's, the end of its IPC channel.
 */
import * as Os from "node:os"

/** Signals are named as such. */
export type DrainReason = NodeJS.Signals | "Message" | "Disconnect" | "Call"

/** A listener on the IPC channel that does not keep the process alive, as others do. */
const onChannel = (event: "message" | "disconnect", listener: (value: unknown) => void): (() => void) => {
  // Node counts listeners, and has no public name for not being counted; `unref` would be for everybody's.
  const channel = process.channel as unknown as Partial<Record<"refCounted" | "unrefCounted", () => void>> | undefined // oxlint-disable-line typescript/no-unsafe-type-assertion
  process.on(event, listener)
  channel?.unrefCounted?.()
  return () => {
    channel?.refCounted?.()
    process.off(event, listener)
  }
}

/** The code of a process that ends by a signal, as shells have it. */
export const signalCode = (signal: NodeJS.Signals): number => 128 + Os.constants.signals[signal]

/** Calls for each request of one of these kinds, until it is told not to. */
export const listen = (
  options: { readonly signals: ReadonlyArray<NodeJS.Signals>; readonly stopOnDisconnect: boolean },
  request: (reason: DrainReason) => void
): (() => void) => {
  const onSignal = (signal: NodeJS.Signals): void => request(signal)
  for (const signal of options.signals) process.on(signal, onSignal)
  const ends = [() => options.signals.forEach((signal) => process.off(signal, onSignal))]
  if (process.channel) {
    ends.push(onChannel("message", (message) => message === "shutdown" && request("Message")))
    if (options.stopOnDisconnect) ends.push(onChannel("disconnect", () => request("Disconnect")))
  }
  return () => ends.forEach((end) => end())
}

/** PM2's `wait_ready`. A channel that is closed meanwhile is no failure of the app. */
export const tellReady = (): void => {
  if (process.connected) process.send?.("ready", undefined, undefined, () => {})
}
