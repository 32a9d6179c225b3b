/**
 * What needs `@effect/sql-pg`, an optional peer dependency; nothing else of this package loads it.
 *
 * @since 0.1.0
 */
export * as PostgresDatabase from "./PostgresDatabase.ts"
