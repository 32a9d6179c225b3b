/**
 * @since 0.1.0
 */
export * as Containment from "./Containment.ts"
export * as ControlSocket from "./ControlSocket.ts"
export * as Group from "./Group.ts"
export * as ProcessLog from "./ProcessLog.ts"
export * as ProcessSpec from "./ProcessSpec.ts"
export * as ResourceLimits from "./ResourceLimits.ts"
export * as RestartPolicy from "./RestartPolicy.ts"
export * as Supervisor from "./Supervisor.ts"
export * as SupervisorEvent from "./SupervisorEvent.ts"
export * as SupervisorState from "./SupervisorState.ts"
export * as Watch from "./Watch.ts"
