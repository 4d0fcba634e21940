package consumer

import "fmt"

// Codes of the Kafka protocol that this package answers with.
const (
	CodeIllegalGeneration    int16 = 22
	CodeInconsistentProtocol int16 = 23
	CodeUnknownMemberID      int16 = 25
	CodeRebalanceInProgress  int16 = 27
	CodeUnsupportedVersion   int16 = 35
	CodeInvalidRequest       int16 = 42
	CodeGroupIDNotFound      int16 = 69
	CodeGroupMaxSizeReached  int16 = 81
	CodeFencedInstanceID     int16 = 82
	CodeFencedMemberEpoch    int16 = 110
	CodeUnreleasedInstanceID int16 = 111
	CodeUnsupportedAssignor  int16 = 112
	CodeStaleMemberEpoch     int16 = 113
	CodeInvalidRegex         int16 = 128
)

// Error is a refusal, with Kafka's words.
type Error struct {
	Code    int16
	Message string
}

func (e *Error) Error() string { return e.Message }

func refuse(code int16, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}
