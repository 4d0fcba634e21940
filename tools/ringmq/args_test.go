package main

import "testing"

func TestSecretSpans(t *testing.T) {
	for _, tt := range []struct{ arg, want string }{
		{"--s3-url=s3://h:1?s3-access-key=AK&s3-secret-key=S/K=&s3-region=r", "--s3-url=s3://h:1?s3-access-key=AK&s3-secret-key=****&s3-region=r"},
		{"--s3-url=s3://h?s3-secret-key=SK", "--s3-url=s3://h?s3-secret-key=**"},
		{"--s3-secret-key=a&b,c", "--s3-secret-key=*****"},
		{"s3.data.buckets=0@s3://a?secretKey=one&region=r,1@s3://b?secretKey=two", "s3.data.buckets=0@s3://a?secretKey=***&region=r,1@s3://b?secretKey=***"},
		{"ssl.key.password=secret", "ssl.key.password=******"},
		{"num.partitions=3", "num.partitions=3"},
		{"", ""},
	} {
		b := []byte(tt.arg)
		for _, s := range secretSpans(tt.arg) {
			fill(b[s[0]:s[1]])
		}
		if string(b) != tt.want {
			t.Errorf("%s: %s, want %s", tt.arg, b, tt.want)
		}
	}
}
