/**
 * @since 0.1.0
 */
export * as HttpProbe from "./HttpProbe.ts"
export * as LockProbe from "./LockProbe.ts"
export * as PortProbe from "./PortProbe.ts"
export * as ProcessProbe from "./ProcessProbe.ts"
export * as TcpProbe from "./TcpProbe.ts"
