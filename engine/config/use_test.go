package config

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestReadKeysAreUsed: `ringmq config keys` says of no key that it has no effect when a configuration is built from it.
func TestReadKeysAreUsed(t *testing.T) {
	read := regexp.MustCompile(`\bb\.(?:num|text|flag|millis|minutes|span)\("([a-z0-9.]+)"\)`)
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range read.FindAllStringSubmatch(string(text), -1) {
			found++
			if d, ok := BrokerDef(m[1]); !ok || d.Use == NoEffect {
				t.Errorf("%s reads %s, which is said to have no effect (known: %t)", name, m[1], ok)
			}
		}
	}
	if found < 100 {
		t.Errorf("%d reads of keys were found: does the pattern still fit the code?", found)
	}
}
