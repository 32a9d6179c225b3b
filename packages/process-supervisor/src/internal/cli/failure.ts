/** Why the command did not do what it was told, in words for whom it was told by. */
import * as Schema from "effect/Schema"

/** Not an error of a module: all that is left to do with it is to print it. */
export class CommandFailed extends Schema.TaggedError<CommandFailed>("@nexobot/process-supervisor/CommandFailed")(
  "CommandFailed",
  { message: Schema.String }
) {}
