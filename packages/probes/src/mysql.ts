/**
 * What needs `mysql2`, an optional peer dependency; nothing else of this package loads it.
 *
 * @since 0.1.0
 */
export * as MysqlDatabase from "./MysqlDatabase.ts"
