package streams

import (
	"fmt"

	"github.com/ringmq/ringmq/engine/group/consumer"
)

// Codes of the Kafka protocol that this package answers with, beside those of package consumer.
const (
	CodeUnknownServerError int16 = -1
	CodeInvalidTopology    int16 = 130
)

// Error is a refusal, with Kafka's words.
type Error = consumer.Error

func refuse(code int16, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}
