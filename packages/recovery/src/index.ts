/**
 * @since 0.1.0
 */
export * as FileJournal from "./FileJournal.ts"
export * as History from "./History.ts"
export * as Journal from "./Journal.ts"
export * as Loop from "./Loop.ts"
export * as Policy from "./Policy.ts"
export * as Recovery from "./Recovery.ts"
export * as Report from "./Report.ts"
export * as Resume from "./Resume.ts"
