// Package lint holds the project's own rules as tests: who may import whom, formatting, package comments, and what must not be left in the
// code. Its failures say what to change. It reads the source tree and `go list`; it contains no code that runs in a program.
package lint
