package differ

import (
	"encoding/binary"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// fields are the leaves of an answer by path, such as Topics[a].Partitions[0].ErrorCode.
type fields map[string]string

// keyFields tell the elements of an array apart; the first ones that a structure has make its key.
var keyFields = []string{"Topic", "TopicID", "Partition", "Group", "GroupID", "ApiKey", "NodeID", "BrokerID", "ResourceType", "ResourceName", "Name",
	"ConfigName", "TransactionalID", "User", "Username", "Key", "MemberID", "Type", "Source", "Mechanism", "Principal", "Dir"}

// generated matches what a broker makes up for a member without an id.
var generated = regexp.MustCompile(`^.*-?[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$|^[A-Za-z0-9_-]{22}$`)

// flatten takes an answer apart. topicName gives the name of a topic id, or "".
func flatten(response any, topicName func(id [16]byte) string) fields {
	f := flattener{fields{}, topicName}
	f.structure("", reflect.ValueOf(response).Elem())
	return f.out
}

type flattener struct {
	out       fields
	topicName func([16]byte) string
}

func (f *flattener) structure(path string, v reflect.Value) {
	t := v.Type()
	for i := range t.NumField() {
		field := t.Field(i)
		if field.Name == "Version" && path == "" || field.Name == "UnknownTags" || field.Name == "ErrorMessage" || field.Name == "Documentation" { // texts are for people
			continue
		}
		at := field.Name
		if path != "" {
			at = path + "." + field.Name
		}
		f.value(at, field.Name, v.Field(i))
	}
}

func (f *flattener) value(path, name string, v reflect.Value) {
	switch v.Kind() {
	case reflect.Struct:
		f.structure(path, v)
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			f.out[path] = bytesOf(name, v.Bytes())
			return
		}
		f.slice(path, name, v)
	case reflect.Pointer:
		if v.IsNil() {
			f.out[path] = "null"
			return
		}
		f.value(path, name, v.Elem())
	default:
		f.out[path] = f.leaf(name, v)
	}
}

func (f *flattener) slice(path, name string, v reflect.Value) {
	switch {
	case v.Len() == 0: // kmsg gives nil for both, an empty array and none
		f.out[path] = "[]"
		return
	case v.Type().Elem().Kind() != reflect.Struct:
		var all []string
		for i := range v.Len() {
			all = append(all, f.leaf(name, v.Index(i)))
		}
		slices.Sort(all)
		f.out[path] = "[" + strings.Join(all, " ") + "]"
		return
	}
	for i := range v.Len() {
		// Kafka may give a topic twice, with some of its partitions each.
		f.structure(path+"["+f.key(v.Index(i))+"]", v.Index(i))
	}
}

// key names an element by those of its fields that are keys.
func (f *flattener) key(v reflect.Value) string {
	var parts []string
	for _, name := range keyFields {
		field := v.FieldByName(name)
		if !field.IsValid() || len(parts) == 2 {
			continue
		}
		if field.Kind() == reflect.Pointer {
			if field.IsNil() {
				continue
			}
			field = field.Elem()
		}
		if s := f.leaf(name, field); s != "" && s != zeroID {
			parts = append(parts, s)
		}
	}
	return strings.Join(parts, ",")
}

const zeroID = "{no id}"

// leaf is the text of a single value, with what each broker chooses for itself replaced.
func (f *flattener) leaf(name string, v reflect.Value) string {
	switch v.Kind() {
	case reflect.Array: // [16]byte
		id := v.Interface().([16]byte)
		if id == ([16]byte{}) {
			return zeroID
		}
		if n := f.topicName(id); n != "" {
			return "{id of " + n + "}"
		}
		return "{id}"
	case reflect.String:
		return stringOf(name, v.String())
	case reflect.Int64:
		if n := v.Int(); n > 1e12 { // milliseconds of this century
			return "{time}"
		}
	}
	switch name {
	case "Port":
		return "{port}"
	case "ProducerID":
		if v.Int() >= 0 {
			return "{producer}"
		}
	case "SessionID":
		if v.Int() != 0 {
			return "{session}"
		}
	}
	return fmt.Sprint(v.Interface())
}

func stringOf(name, s string) string {
	switch name {
	case "Host", "ClientHost", "ClusterID", "Dir":
		if s != "" {
			return "{" + strings.ToLower(name) + "}"
		}
	}
	if generated.MatchString(s) {
		return "{generated}"
	}
	return s
}

// bytesOf shows bytes; of record batches without the leader epoch, which the broker fills in and no checksum covers.
func bytesOf(name string, b []byte) string {
	if b == nil {
		return "null"
	}
	if name != "RecordBatches" && name != "Records" {
		return strconv.Quote(string(b))
	}
	b = slices.Clone(b)
	for rest := b; len(rest) > 16; {
		clear(rest[12:16])
		size := 12 + int(int32(binary.BigEndian.Uint32(rest[8:])))
		if size <= 16 || size > len(rest) {
			break
		}
		rest = rest[size:]
	}
	return fmt.Sprintf("%x", b)
}

// difference is one field that two answers do not share. A field that an answer does not have is "-".
type difference struct {
	path          string
	kafka, ringmq string
}

func compare(kafka, ringmq fields) []difference {
	var out []difference
	for path, k := range kafka {
		r, ok := ringmq[path]
		if !ok {
			r = "-"
		}
		if k != r {
			out = append(out, difference{path, k, r})
		}
	}
	for path, r := range ringmq {
		if _, ok := kafka[path]; !ok {
			out = append(out, difference{path, "-", r})
		}
	}
	slices.SortFunc(out, func(a, b difference) int { return strings.Compare(a.path, b.path) })
	return out
}
