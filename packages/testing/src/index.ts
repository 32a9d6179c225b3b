/**
 * @since 0.1.0
 */
export * as Binary from "./Binary.ts"
export * as Expect from "./Expect.ts"
export * as ProcessFault from "./ProcessFault.ts"
export * as TestFolder from "./TestFolder.ts"
export * as TestPort from "./TestPort.ts"
export * as TestPostgres from "./TestPostgres.ts"
export * as TestProcess from "./TestProcess.ts"
export * as TestProcessControl from "./TestProcessControl.ts"
export * as TestProcessTable from "./TestProcessTable.ts"
export * as TestRedis from "./TestRedis.ts"
