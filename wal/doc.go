// Package wal is the broker's local write-ahead log on a block device or a file.
package wal
