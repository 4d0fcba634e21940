// Command ringmq is the broker and its tools in one binary. See package cli for the commands, and server.go for how a node is put together.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/ringmq/ringmq/tools/ringmq/cli"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	p := cli.Program{Stdout: os.Stdout, Stderr: os.Stderr, Env: os.Getenv, Serve: serve, Executable: os.Executable}
	os.Exit(p.Main(ctx, hideArgs()))
}
