package objstore

import (
	"context"
	"fmt"
	"strings"
	"unicode/utf8"
)

// maxKeyBytes is S3's limit on the length of a key.
const maxKeyBytes = 1024

// checkKey refuses a finished context and keys that not every store can hold: keys are relative paths of plain segments.
func checkKey(ctx context.Context, key string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if key == "" || len(key) > maxKeyBytes || !utf8.ValidString(key) || strings.ContainsFunc(key, unprintable) {
		return fmt.Errorf("%w: object key %q (%d bytes): want 1 to %d bytes of UTF-8 without control characters and backslashes", ErrInvalid, key, len(key), maxKeyBytes)
	}
	for s := range strings.SplitSeq(key, "/") {
		if s == "" || s == "." || s == ".." || len(s) > 255 {
			return fmt.Errorf("%w: object key %q: segments between slashes must have 1 to 255 bytes and not be . or ..", ErrInvalid, key)
		}
	}
	return nil
}

func unprintable(r rune) bool { return r < 0x20 || r == 0x7f || r == '\\' }

func checkRange(key string, off, n, size int64) error {
	if off < 0 || n < 0 || off > size || n > size-off {
		return fmt.Errorf("%w: %d bytes at %d of %s, which has %d bytes", ErrRange, n, off, key, size)
	}
	return nil
}

func checkPart(ctx context.Context, key string, number int, size int64) error {
	if err := checkKey(ctx, key); err != nil {
		return err
	}
	if number < 1 || number > MaxParts {
		return fmt.Errorf("%w: part number %d of %s, want 1 to %d", ErrInvalid, number, key, MaxParts)
	}
	if size <= 0 || size > MaxPartBytes {
		return fmt.Errorf("%w: part %d of %s has %d bytes, want 1 to %d", ErrInvalid, number, key, size, int64(MaxPartBytes))
	}
	return nil
}

func checkComplete(ctx context.Context, key string, parts []Part) error {
	if err := checkKey(ctx, key); err != nil {
		return err
	}
	if len(parts) == 0 || len(parts) > MaxParts {
		return fmt.Errorf("%w: %d parts for %s, want 1 to %d", ErrInvalid, len(parts), key, MaxParts)
	}
	for i := 1; i < len(parts); i++ {
		if parts[i].Number <= parts[i-1].Number {
			return fmt.Errorf("%w: part %d of %s follows part %d", ErrInvalid, parts[i].Number, key, parts[i-1].Number)
		}
	}
	return nil
}
