// The one error that the readers of messages throw. Knows no message; who throws it chooses code and text.

/** A message that breaks the protocol: dropped and counted under `code`, one of the codes of docs/protocol.md. */
export class MessageRejected extends Error {
  constructor(code, text) {
    super(text);
    this.name = "MessageRejected";
    this.code = code;
  }
}
