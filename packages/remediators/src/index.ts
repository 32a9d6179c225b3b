/**
 * @since 0.1.0
 */
export * as ClearStaleLock from "./ClearStaleLock.ts"
export * as FreePort from "./FreePort.ts"
export * as RestartProcess from "./RestartProcess.ts"
export * as StartProcess from "./StartProcess.ts"
