/** Which variables hold secrets, as their names say. */
import * as Redaction from "@nexobot/core/Redaction"

const shapes = Redaction.make()

/** Whether a value under this name is one that must not be shown. */
export const isSecret = (name: string, text: string): boolean =>
  JSON.stringify(shapes.value({ [name]: text })) !== JSON.stringify({ [name]: text })
