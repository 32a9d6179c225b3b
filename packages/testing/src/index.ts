/**
 * @since 0.1.0
 */
export * as Binary from "./Binary.ts"
export * as Expect from "./Expect.ts"
export * as ProcessFault from "./ProcessFault.ts"
export * as TestBlackhole from "./TestBlackhole.ts"
export * as TestCertificates from "./TestCertificates.ts"
export * as TestDnsmasq from "./TestDnsmasq.ts"
export * as TestDocker from "./TestDocker.ts"
export * as TestFolder from "./TestFolder.ts"
export * as TestMariaDb from "./TestMariaDb.ts"
export * as TestMount from "./TestMount.ts"
export * as TestPort from "./TestPort.ts"
export * as TestPostgres from "./TestPostgres.ts"
export * as TestProcess from "./TestProcess.ts"
export * as TestProcessControl from "./TestProcessControl.ts"
export * as TestProcessTable from "./TestProcessTable.ts"
export * as TestRedis from "./TestRedis.ts"
