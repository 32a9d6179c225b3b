/**
 * Types of constructors whose signatures depend on the options that are given.
 *
 * @since 0.1.0
 */

/** `S` if the options have `Key`; options that only may have it do. */
export type Given<O, Key extends PropertyKey, S> = O extends unknown ? (Key extends keyof O ? S : never) : never

/** `O`, without keys that the options do not know: inference would accept a misspelt one. */
export type Exactly<O, Options> = O & { readonly [Key in Exclude<keyof O, keyof Options>]: never }
