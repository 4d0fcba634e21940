package kraft

import (
	"errors"
	"fmt"
)

// Errors of stream and object requests. Callers act differently on each.
var (
	// ErrFenced: a newer stream epoch, another owner or a newer registration of the node exists. Final for the caller's epoch.
	ErrFenced = errors.New("kraft: fenced")
	// ErrNotFound: the stream or object is not known, or deleted.
	ErrNotFound = errors.New("kraft: not found")
	// ErrConflict: the request does not fit the present state: a commit that does not continue the stream, a compacted object that is
	// gone. Look again before deciding what to do.
	ErrConflict = errors.New("kraft: conflict")
	// ErrNotClosed: the stream is still open at another node, whose WAL may hold acknowledged records.
	ErrNotClosed = errors.New("kraft: stream is open at another node")
	// ErrInvalid: the request makes no sense, whatever the state.
	ErrInvalid = errors.New("kraft: invalid request")
	// ErrWrongCluster: the other node belongs to another cluster. Final.
	ErrWrongCluster = errors.New("kraft: wrong cluster")
	// ErrNotRegistered: RegisterBroker has not succeeded yet.
	ErrNotRegistered = errors.New("kraft: broker is not registered")
)

// Code is the outcome of a private request on the wire.
type Code int16

// Codes of private responses. Values are part of the wire format.
const (
	CodeNone          Code = 0
	CodeFenced        Code = 1
	CodeNotFound      Code = 2
	CodeConflict      Code = 3
	CodeNotClosed     Code = 4
	CodeInvalid       Code = 5
	CodeNotController Code = 6 // this node is not the active controller: nothing was done
	CodeTimeout       Code = 7 // outcome unknown
	CodeClosed        Code = 8 // the node is shutting down: nothing was done
	CodeWrongCluster  Code = 9
	CodeInternal      Code = 10
)

var codeErrors = map[Code]error{
	CodeFenced:        ErrFenced,
	CodeNotFound:      ErrNotFound,
	CodeConflict:      ErrConflict,
	CodeNotClosed:     ErrNotClosed,
	CodeInvalid:       ErrInvalid,
	CodeNotController: ErrNotController,
	CodeTimeout:       ErrTimeout,
	CodeClosed:        ErrClosed,
	CodeWrongCluster:  ErrWrongCluster,
}

// CodeError is the error that a private response carries. It matches the Err… value of its code.
type CodeError struct {
	Code    Code
	Message string
}

func (e *CodeError) Error() string {
	base := codeErrors[e.Code]
	if base == nil {
		base = fmt.Errorf("kraft: code %d", e.Code)
	}
	if e.Message == "" {
		return base.Error()
	}
	return base.Error() + ": " + e.Message
}

// Is matches the error value that belongs to the code.
func (e *CodeError) Is(target error) bool {
	base, ok := codeErrors[e.Code]
	return ok && base == target
}

func refuse(c Code, format string, args ...any) *CodeError {
	return &CodeError{Code: c, Message: fmt.Sprintf(format, args...)}
}

// codeOf is the reverse of codeErrors. An unknown outcome comes first: an error may say why besides, and must not pass for one after which nothing was
// done.
func codeOf(err error) (Code, string) {
	if errors.Is(err, ErrTimeout) {
		return CodeTimeout, err.Error()
	}
	var ce *CodeError
	if errors.As(err, &ce) {
		return ce.Code, ce.Message
	}
	if errors.Is(err, errBusy) {
		return CodeNotController, err.Error() // nothing was done, try again
	}
	for c := CodeNone + 1; c < CodeInternal; c++ {
		if e := codeErrors[c]; e != nil && errors.Is(err, e) {
			return c, err.Error()
		}
	}
	return CodeInternal, err.Error()
}
