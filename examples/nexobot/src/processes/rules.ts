/** Answers that need no model: the first pattern that matches. */
const rules: ReadonlyArray<readonly [RegExp, string]> = [
  [/\b(hola|buenas|hello|hi)\b/i, "¡Hola! Soy NexoBot. ¿En qué te ayudo?"],
  [/\b(horario|hours)\b/i, "Atendemos de lunes a viernes, de 9 a 18."],
  [/\b(gracias|thanks)\b/i, "¡Para eso estamos!"]
]

export const reply = (message: string): string =>
  rules.find(([pattern]) => pattern.test(message))?.[1] ?? "No te entendí. ¿Me lo dices de otra forma?"
