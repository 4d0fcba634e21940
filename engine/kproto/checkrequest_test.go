package kproto

import (
	"errors"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// fillRandomly sets every field of a kmsg struct, nulls and empty arrays included.
func fillRandomly(rng *rand.Rand, v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		if rng.IntN(3) == 0 {
			v.SetZero()
			return
		}
		v.Set(reflect.New(v.Type().Elem()))
		fillRandomly(rng, v.Elem())
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() && v.Type().Field(i).Name != "Version" {
				fillRandomly(rng, v.Field(i))
			}
		}
		if tags, ok := v.Addr().Interface().(*kmsg.Tags); ok && rng.IntN(3) == 0 {
			tags.Set(1000+rng.Uint32N(3), make([]byte, rng.IntN(3)))
		}
	case reflect.Slice:
		if n := rng.IntN(4); n < 3 {
			v.Set(reflect.MakeSlice(v.Type(), n, n))
		} else {
			v.SetZero()
		}
		for i := range v.Len() {
			fillRandomly(rng, v.Index(i))
		}
	case reflect.Array:
		for i := range v.Len() {
			fillRandomly(rng, v.Index(i))
		}
	case reflect.String:
		v.SetString("some text, at times longer than a hundred and twenty-seven bytes, so that compact lengths take two bytes and not just one, as they else would"[:[]int{0, 4, 140}[rng.IntN(3)]])
	case reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		v.SetInt(int64(rng.IntN(100)))
	case reflect.Uint8, reflect.Uint16:
		v.SetUint(uint64(rng.IntN(100)))
	case reflect.Bool:
		v.SetBool(rng.IntN(2) == 0)
	case reflect.Float64:
		v.SetFloat(rng.Float64())
	default:
		panic("kind " + v.Kind().String())
	}
}

func TestCheckRequestAgainstKmsg(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for key := int16(0); key <= MaxKey; key++ {
		for version := int16(0); version <= kmsg.RequestForKey(key).MaxVersion(); version++ {
			for round := range 30 {
				req := kmsg.RequestForKey(key)
				fillRandomly(rng, reflect.ValueOf(req).Elem())
				req.SetVersion(version)
				body := req.AppendTo(nil)
				r := reader{b: body}
				checkStruct(&r, requestSchemas[key], version, IsFlexible(key, version))
				if !r.ok() || len(r.b) > 0 {
					t.Fatalf("%s v%d: %d of %d bytes left, %v: %+v", APIName(key), version, len(r.b), len(body), r.err("", 0, 0), req)
				}
				if err := CheckRequest(key, version, append(body, "bytes behind"...)); err != nil {
					t.Fatalf("%s v%d: %v", APIName(key), version, err)
				}
				for n := range min(len(body), 300/(round+1)) {
					if err := CheckRequest(key, version, body[:n]); !errors.Is(err, ErrMalformed) {
						t.Fatalf("%s v%d: %d of %d bytes: %v", APIName(key), version, n, len(body), err)
					}
				}
			}
		}
	}
	if err := CheckRequest(MaxKey+1, 0, nil); !errors.Is(err, ErrUnknownKey) {
		t.Error(err)
	}
	if err := CheckRequest(-1, 0, nil); !errors.Is(err, ErrUnknownKey) {
		t.Error(err)
	}
}

func TestCheckRequestHostile(t *testing.T) {
	many := []byte{0xff, 0xff, 0xff, 0xff, 0x0f}
	for name, c := range map[string]struct {
		key, version int16
		body         []byte
	}{
		"tags of ApiVersions":      {KeyApiVersions, 3, append([]byte{2, 'a', 2, 'b'}, many...)},
		"topics of Metadata":       {KeyMetadata, 9, append(many, 0, 0, 0, 0)},
		"old topics of Metadata":   {KeyMetadata, 1, []byte{0x7f, 0xff, 0xff, 0xff, 0}},
		"tags of a topic":          {KeyMetadata, 9, append([]byte{2, 2, 'a'}, many...)},
		"length of a tag":          {KeyApiVersions, 3, append([]byte{2, 'a', 2, 'b', 1, 9}, many...)},
		"null name":                {KeyFindCoordinator, 3, []byte{0, 0, 0}},
		"negative length of bytes": {KeySaslAuthenticate, 0, []byte{0xff, 0xff, 0xff, 0xfe}},
	} {
		start := time.Now()
		if err := CheckRequest(c.key, c.version, c.body); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
		if d := time.Since(start); d > time.Second {
			t.Errorf("%s took %v", name, d)
		}
	}
}

func TestAllocsCheckRequest(t *testing.T) {
	req := kmsg.RequestForKey(KeyMetadata)
	req.SetVersion(12)
	body := req.AppendTo(nil)
	noAllocs(t, "CheckRequest", func() {
		if err := CheckRequest(KeyMetadata, 12, body); err != nil {
			t.Fatal(err)
		}
	})
}

// FuzzCheckRequest: what passes, kmsg decodes.
func FuzzCheckRequest(f *testing.F) {
	rng := rand.New(rand.NewPCG(3, 4))
	for key := int16(0); key <= MaxKey; key++ {
		req := kmsg.RequestForKey(key)
		fillRandomly(rng, reflect.ValueOf(req).Elem())
		req.SetVersion(req.MaxVersion())
		f.Add(key, req.MaxVersion(), req.AppendTo(nil))
	}
	f.Fuzz(func(t *testing.T, key, version int16, body []byte) {
		req := kmsg.RequestForKey(key)
		if err := CheckRequest(key, version, body); err != nil || version < 0 || version > req.MaxVersion() {
			return
		}
		req.SetVersion(version)
		if err := req.ReadFrom(body); err != nil {
			t.Fatalf("%s v%d: kmsg: %v", APIName(key), version, err)
		}
	})
}
