package object

import (
	"fmt"
	"strconv"
	"strings"
)

// Key returns the key of object id (>= 0) of a cluster: the low 32 bits of the id as 8 hexadecimal digits in reverse order, so that
// neighbouring ids fall under different prefixes, which stores spread by; then the cluster's id; then the object's id in decimal.
// For example object 4660 (0x1234) of cluster "c1" is "43210000/c1/4660".
func Key(clusterID string, id int64) string {
	return fmt.Sprintf("%s/%s/%d", keyPrefix(id), clusterID, id)
}

func keyPrefix(id int64) string {
	hex := fmt.Appendf(nil, "%08x", uint32(id))
	for i, j := 0, len(hex)-1; i < j; i, j = i+1, j-1 {
		hex[i], hex[j] = hex[j], hex[i]
	}
	return string(hex)
}

// ParseKey is the inverse of Key. False when key is not one that Key makes, for example another cluster's or a stranger's file.
func ParseKey(clusterID, key string) (id int64, ok bool) {
	i := strings.LastIndexByte(key, '/')
	id, err := strconv.ParseInt(key[i+1:], 10, 64)
	if err != nil || id < 0 || Key(clusterID, id) != key {
		return 0, false
	}
	return id, true
}
