/**
 * @since 0.1.0
 */
export * as Api from "./Api.ts"
export * as Authorization from "./Authorization.ts"
export * as Console from "./Console.ts"
