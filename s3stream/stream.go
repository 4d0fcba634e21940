package s3stream

import (
	"sync/atomic"
)

// streamState is the life of a Stream: open, then closing and closed, or fenced.
type streamState int32

const (
	streamOpen    streamState = iota
	streamClosing             // Close was called: no appends, the tail is being uploaded
	streamClosed
	streamFenced // a newer epoch exists
)

// Stream is an open stream. Methods may be called from any goroutine, except that the caller serialises Append.
type Stream struct {
	id      StreamID
	epoch   int64
	storage *Storage
	tail    *tail
	owner   Owner // may be nil

	state     atomic.Int32 // streamState; leaves streamOpen only with tail.mu held
	failed    atomic.Bool  // an append did not become durable
	confirmed atomic.Int64 // behind the last durable record; stored by completions only
	start     atomic.Int64 // first readable offset; only grows
	trimmed   atomic.Int64 // Start in the metadata, as far as this Stream knows
	cleaned   atomic.Int64 // what lies below is read from objects: the log cache has it as it was before Rewrite
}

// ID names the stream.
func (st *Stream) ID() StreamID { return st.id }

// Epoch is the epoch that the stream was opened with.
func (st *Stream) Epoch() int64 { return st.epoch }

// Confirmed is the offset behind the last durable record. It never moves back.
func (st *Stream) Confirmed() int64 { return st.confirmed.Load() }

// Start is the first readable offset. It never moves back.
func (st *Stream) Start() int64 { return st.start.Load() }

// readable says why the stream serves no reads any more.
func (st *Stream) readable() error {
	switch streamState(st.state.Load()) {
	case streamClosed:
		return ErrClosed
	case streamFenced:
		return ErrFenced
	}
	return nil
}

// fenceLocked ends the stream because a newer epoch exists. tail.mu is held.
func (st *Stream) fenceLocked() {
	if streamState(st.state.Load()) != streamClosed {
		st.state.Store(int32(streamFenced))
	}
}
