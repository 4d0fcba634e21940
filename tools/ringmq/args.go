package main

import (
	"os"
	"strings"
	"unsafe"
)

// hideArgs returns a copy of the command line, and overwrites the secrets in the original, which is what ps and /proc/<pid>/cmdline show: the
// s3-url of a start command holds the secret key. The kernel shows the memory that it gave to the process, and os.Args refers to that
// memory, so it is overwritten there; until this has run, the secrets can be seen.
func hideArgs() []string {
	args := make([]string, len(os.Args))
	for i, a := range os.Args {
		args[i] = strings.Clone(a)
	}
	for i, a := range os.Args {
		if a == "" {
			continue
		}
		b := unsafe.Slice(unsafe.StringData(a), len(a))
		if i > 0 && args[i-1] == secretFlag {
			fill(b)
		}
		for _, span := range secretSpans(args[i]) {
			fill(b[span[0]:span[1]])
		}
	}
	return args
}

func fill(b []byte) {
	for i := range b {
		b[i] = '*'
	}
}

const secretFlag = "--s3-secret-key"

// secretSpans returns where the secrets of an argument are: after the name of a parameter or key up to the end of its value.
func secretSpans(arg string) (spans [][2]int) {
	if strings.HasPrefix(arg, secretFlag+"=") {
		return [][2]int{{len(secretFlag) + 1, len(arg)}}
	}
	for _, name := range []string{"s3-secret-key=", "secretKey=", "password=", "jaas.config="} {
		for from := 0; ; {
			i := strings.Index(arg[from:], name)
			if i < 0 {
				break
			}
			start := from + i + len(name)
			end := start
			for end < len(arg) && arg[end] != '&' && arg[end] != ',' {
				end++
			}
			spans = append(spans, [2]int{start, end})
			from = end
		}
	}
	return spans
}
