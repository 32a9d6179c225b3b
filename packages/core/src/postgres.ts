/**
 * What needs Postgres; `@effect/sql-pg` is an optional peer dependency, and nothing else of this package loads it.
 *
 * @since 0.1.0
 */
export * as PostgresLeases from "./PostgresLeases.ts"
