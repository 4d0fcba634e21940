// Package config turns what an operator writes into one typed, checked Config, and defines every configuration key.
//
//	built-in defaults ─┐
//	server.properties ─┼─► raw values (later wins) ─► Def: known? well formed? ─► Config (typed, immutable)
//	--s3-url ──────────┤                                                         │
//	--override k=v ────┘                             Lookup/All: DescribeConfigs ◄┴► EffectiveTopic: TopicConfig
//
// Names, types and defaults are Kafka's and AutoMQ's. Every key that either system has is known; Def.Use says whether it is used,
// accepted without effect, or accepted with a warning. An unknown key, a malformed value and a missing key are errors of one line
// that name the key, the value and what is allowed.
//
// The package is a leaf: it reads no file but the one named in Source, opens no socket and keeps no package state beyond the
// constant definition tables. A Config never changes after Load and may be read from any goroutine. Secrets live only in typed
// fields; Lookup, All, String methods and errors show them masked.
//
// File map: properties.go (file syntax), uri.go and s3url.go (URI grammars), listener.go, def*.go (definition tables),
// load.go (merging), build.go (typing and cross checks), topic.go (topic keys and their effective values).
package config
