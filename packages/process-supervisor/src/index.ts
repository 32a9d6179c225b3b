/**
 * @since 0.1.0
 */
export * as ProcessSpec from "./ProcessSpec.ts"
export * as RestartPolicy from "./RestartPolicy.ts"
export * as Supervisor from "./Supervisor.ts"
export * as SupervisorEvent from "./SupervisorEvent.ts"
