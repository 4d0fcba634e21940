package kproto

import (
	"errors"
	"fmt"
)

// ErrUnknownKey is matched when the key of a request is not one of the protocol's. The connection is closed, as Kafka does.
var ErrUnknownKey = errors.New("kproto: unknown api key")

// RequestHeader is what every request starts with.
type RequestHeader struct {
	Key, Version  int16
	CorrelationID int32
	ClientID      []byte // nil is null; aliases the frame
}

// ParseHeader splits a frame (without its size prefix) into header and body. It does not judge the version: for a version that does
// not exist the body is what follows a header of the newest layout, which is what the ApiVersions answer to such a request needs.
// Errors match ErrMalformed or ErrUnknownKey. body aliases frame.
func ParseHeader(frame []byte) (h RequestHeader, body []byte, err error) {
	r := reader{b: frame}
	h.Key, h.Version, h.CorrelationID = r.int16(), r.int16(), r.int32()
	if !r.ok() {
		return RequestHeader{}, nil, r.err("request header", 0, len(frame))
	}
	if h.Key < 0 || h.Key > MaxKey {
		return RequestHeader{}, nil, fmt.Errorf("%w %d in a frame of %d bytes", ErrUnknownKey, h.Key, len(frame))
	}
	if h.Version < 0 {
		return RequestHeader{}, nil, &DecodeError{What: APIName(h.Key) + " request header", Version: h.Version, Bytes: len(frame), Reason: "negative version"}
	}
	if h.Key == KeyControlledShutdown && h.Version == 0 {
		return h, r.b, nil // the one request with a header of version 0: no client id
	}
	h.ClientID = r.nullableString(false) // never compact, not even in a flexible header
	if IsFlexible(h.Key, h.Version) {
		r.skipTags()
	}
	if !r.ok() {
		return RequestHeader{}, nil, r.err(APIName(h.Key)+" request header", h.Version, len(frame))
	}
	return h, r.b, nil
}

// AppendResponseHeader appends the header of a response to a request of that key and version. ApiVersions always has the plain one,
// since a client reads it before it knows what the broker speaks.
func AppendResponseHeader(dst []byte, key, version int16, correlationID int32) []byte {
	dst = appendInt32(dst, correlationID)
	if key != KeyApiVersions && IsFlexible(key, version) {
		dst = append(dst, 0)
	}
	return dst
}
