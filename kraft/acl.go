package kraft

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ringmq/ringmq/kraft/record"
)

// ACL is one entry of an access control list (KIP-11, prefixes: KIP-290): who may, or may not, do what with which resources.
type ACL struct {
	Resource   kmsg.ACLResourceType
	Pattern    kmsg.ACLResourcePatternType // literal or prefixed
	Name       string                      // "*", literally, is every resource of the type
	Principal  string                      // type:name; User:* is everybody
	Host       string                      // an address, or "*"
	Operation  kmsg.ACLOperation
	Permission kmsg.ACLPermissionType // deny or allow
}

// ClusterResource is the name of the one resource of type cluster.
const ClusterResource = "kafka-cluster"

// EveryACL calls fn for every entry of every access control list until it returns false, in the order of resources.
func EveryACL(img *Image, fn func(ACL) bool) {
	img.ConfigResourcesOf(record.ACLConfig, func(r ConfigResource) bool {
		for _, e := range img.Configs(r) {
			if a, ok := aclOf(r, e.Key); ok && !fn(a) {
				return false
			}
		}
		return true
	})
}

// resource and key are where the image keeps an entry: "TYPE PATTERN NAME" and "PERMISSION OPERATION HOST PRINCIPAL".
func (a ACL) resource() ConfigResource {
	return ConfigResource{Type: record.ACLConfig, Name: fmt.Sprintf("%d %d %s", a.Resource, a.Pattern, a.Name)}
}

func (a ACL) key() string {
	return fmt.Sprintf("%d %d %s %s", a.Permission, a.Operation, a.Host, a.Principal)
}

func aclOf(r ConfigResource, key string) (ACL, bool) {
	res, entry := strings.SplitN(r.Name, " ", 3), strings.SplitN(key, " ", 4)
	if len(res) != 3 || len(entry) != 4 {
		return ACL{}, false
	}
	var n [4]int64
	for i, s := range []string{res[0], res[1], entry[0], entry[1]} {
		var err error
		if n[i], err = strconv.ParseInt(s, 10, 8); err != nil {
			return ACL{}, false
		}
	}
	return ACL{
		Resource: kmsg.ACLResourceType(n[0]), Pattern: kmsg.ACLResourcePatternType(n[1]), Name: res[2],
		Permission: kmsg.ACLPermissionType(n[2]), Operation: kmsg.ACLOperation(n[3]), Host: entry[2], Principal: entry[3],
	}, true
}

// ACLFilter picks entries. A nil string matches everything, and so does the value Any of the other fields; pattern Match takes every entry that
// concerns the resource Name.
type ACLFilter struct {
	Resource        kmsg.ACLResourceType
	Pattern         kmsg.ACLResourcePatternType
	Name            *string
	Principal, Host *string
	Operation       kmsg.ACLOperation
	Permission      kmsg.ACLPermissionType
}

// Matches says whether the filter picks an entry.
func (f *ACLFilter) Matches(a ACL) bool {
	return (f.Resource == kmsg.ACLResourceTypeAny || f.Resource == a.Resource) && f.matchesName(a) &&
		(f.Principal == nil || *f.Principal == a.Principal) && (f.Host == nil || *f.Host == a.Host) &&
		(f.Operation == kmsg.ACLOperationAny || f.Operation == a.Operation) &&
		(f.Permission == kmsg.ACLPermissionTypeAny || f.Permission == a.Permission)
}

func (f *ACLFilter) matchesName(a ACL) bool {
	switch f.Pattern {
	case kmsg.ACLResourcePatternTypeAny:
		return f.Name == nil || *f.Name == a.Name
	case kmsg.ACLResourcePatternTypeMatch:
		switch {
		case f.Name == nil:
			return true
		case a.Pattern == kmsg.ACLResourcePatternTypePrefixed:
			return strings.HasPrefix(*f.Name, a.Name)
		}
		return a.Name == *f.Name || a.Name == "*"
	}
	return f.Pattern == a.Pattern && (f.Name == nil || *f.Name == a.Name)
}

// Check refuses a filter with an unknown value in it.
func (f *ACLFilter) Check() error {
	switch {
	case f.Resource < kmsg.ACLResourceTypeAny || f.Resource > kmsg.ACLResourceTypeUser:
		return fmt.Errorf("%w: the filter has the unknown resource type %d", ErrInvalid, f.Resource)
	case f.Pattern < kmsg.ACLResourcePatternTypeAny || f.Pattern > kmsg.ACLResourcePatternTypePrefixed:
		return fmt.Errorf("%w: the filter has the unknown pattern type %d", ErrInvalid, f.Pattern)
	case f.Operation < kmsg.ACLOperationAny || f.Operation > maxACLOperation:
		return fmt.Errorf("%w: the filter has the unknown operation %d", ErrInvalid, f.Operation)
	case f.Permission < kmsg.ACLPermissionTypeAny || f.Permission > kmsg.ACLPermissionTypeAllow:
		return fmt.Errorf("%w: the filter has the unknown permission %d", ErrInvalid, f.Permission)
	}
	return nil
}

// maxACLOperation is TWO_PHASE_COMMIT.
const maxACLOperation kmsg.ACLOperation = 15

// check refuses what cannot be an entry.
func (a ACL) check() kafkaError {
	bad := func(format string, args ...any) kafkaError {
		return kafkaError{kafkaInvalidRequest, fmt.Sprintf(format, args...)}
	}
	kind, name, ok := strings.Cut(a.Principal, ":")
	switch {
	case a.Resource <= kmsg.ACLResourceTypeAny || a.Resource > kmsg.ACLResourceTypeUser:
		return bad("Invalid resource type %d.", a.Resource)
	case a.Pattern != kmsg.ACLResourcePatternTypeLiteral && a.Pattern != kmsg.ACLResourcePatternTypePrefixed:
		return bad("Invalid pattern type %d: an entry is literal or prefixed.", a.Pattern)
	case a.Operation <= kmsg.ACLOperationAny || a.Operation > maxACLOperation:
		return bad("Invalid operation %d.", a.Operation)
	case a.Permission != kmsg.ACLPermissionTypeDeny && a.Permission != kmsg.ACLPermissionTypeAllow:
		return bad("Invalid permission %d: an entry allows or denies.", a.Permission)
	case a.Name == "":
		return bad("Resource name should not be empty.")
	case a.Resource == kmsg.ACLResourceTypeCluster && a.Name != ClusterResource:
		return bad("The only valid name of the CLUSTER resource is %s.", ClusterResource)
	case !ok || kind == "" || name == "":
		return bad("Could not parse principal %q: expected type:name.", a.Principal)
	case a.Host == "" || strings.Contains(a.Host, " "):
		return bad("Invalid host %q.", a.Host)
	}
	return kafkaError{}
}
