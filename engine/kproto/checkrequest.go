package kproto

//go:generate go run schemagen.go

// kind is how a field lies on the wire.
type kind uint8

const (
	kind1 kind = iota // fixed widths
	kind2
	kind4
	kind8
	kind16
	kindString
	kindNullableString
	kindBytes
	kindNullableBytes
	kindArray          // of the one field in fields
	kindStructs        // array of structs
	kindStruct         // fields in place, and a tag section
	kindNullableStruct // a byte, -1 for null, before that
	kindTag            // one field, in the tag section of the struct
)

// schemaField is a field of a request, present in the versions from first to last.
type schemaField struct {
	first, last int16
	kind        kind
	tag         uint32
	fields      []schemaField
}

const anyVersion int16 = 32767

var kindWidth = [...]int{kind1: 1, kind2: 2, kind4: 4, kind8: 8, kind16: 16}

// CheckRequest says whether body has the layout of a request of that key and version, all of it that must be there. Call it before
// a body is given to kmsg, which trusts its input too much: it goes round a loop as often as a tag count says (up to four thousand
// million times) although the bytes have ended, and allocates arrays by their announced length, each element a hundred times as
// large as the byte it insists on. After CheckRequest every counted thing is known to be there.
//
// Like kmsg it takes null for any array and ignores bytes behind the end. It allocates nothing, in time proportional to the body.
// Versions that do not exist are judged as if they were the newest. Errors match ErrMalformed or ErrUnknownKey.
func CheckRequest(key, version int16, body []byte) error {
	if key < 0 || key > MaxKey {
		return ErrUnknownKey
	}
	r := reader{b: body}
	checkStruct(&r, requestSchemas[key], version, IsFlexible(key, version))
	if !r.ok() {
		return r.err(APIName(key)+" request", version, len(body))
	}
	return nil
}

func checkStruct(r *reader, fields []schemaField, version int16, flexible bool) {
	for i := range fields {
		f := &fields[i]
		if f.kind != kindTag && version >= f.first && version <= f.last {
			checkField(r, f, version, flexible)
		}
	}
	if !flexible {
		return
	}
	if len(fields) == 0 || fields[len(fields)-1].kind != kindTag {
		r.skipTags()
		return
	}
	for n := r.uvarint(); n > 0 && r.ok(); n-- {
		tag, value := r.tag()
		for i := range fields {
			if f := &fields[i]; f.kind == kindTag && f.tag == tag && r.ok() {
				inner := reader{b: value}
				checkField(&inner, &f.fields[0], version, flexible)
				if !inner.ok() {
					r.fail(badTag)
				}
			}
		}
	}
}

// elements reads the length of an array, which may be null. An element takes at least a byte, though by the schema of some old
// version it may not.
func (r *reader) elements(compact bool) int {
	n := r.length32(compact)
	if n > len(r.b) {
		r.fail(truncated)
		return 0
	}
	return n
}

func checkField(r *reader, f *schemaField, version int16, flexible bool) {
	switch f.kind {
	case kind1, kind2, kind4, kind8, kind16:
		r.span(kindWidth[f.kind])
	case kindString:
		r.string(flexible)
	case kindNullableString:
		r.nullableString(flexible)
	case kindBytes, kindNullableBytes: // kmsg takes null for both
		r.nullableBytes(flexible)
	case kindArray:
		for n := r.elements(flexible); n > 0 && r.ok(); n-- {
			checkField(r, &f.fields[0], version, flexible)
		}
	case kindStructs:
		for n := r.elements(flexible); n > 0 && r.ok(); n-- {
			checkStruct(r, f.fields, version, flexible)
		}
	case kindStruct:
		checkStruct(r, f.fields, version, flexible)
	case kindNullableStruct:
		if r.int8() != -1 {
			checkStruct(r, f.fields, version, flexible)
		}
	}
}
