// Package loglevel lets the level of a log be changed while the log is written, under the names that Kafka has for levels.
package loglevel
