package objstore

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"

	"github.com/minio/minio-go/v7"
)

// codes maps the error codes of S3 and MinIO to our errors.
var codes = map[string]error{
	"NoSuchKey": ErrNotFound, "NoSuchUpload": ErrNotFound, "NoSuchVersion": ErrNotFound,
	"PreconditionFailed": ErrExists, "ConditionalRequestConflict": ErrExists,
	"InvalidRange": ErrRange, "InvalidPartNumber": ErrInvalid,
	"AccessDenied": ErrAccessDenied, "AllAccessDisabled": ErrAccessDenied, "MethodNotAllowed": ErrAccessDenied,
	"InvalidAccessKeyId": ErrBadCredentials, "SignatureDoesNotMatch": ErrBadCredentials, "InvalidTokenId": ErrBadCredentials,
	"InvalidToken": ErrBadCredentials, "ExpiredToken": ErrBadCredentials, "ExpiredTokenException": ErrBadCredentials,
	"NoSuchBucket": ErrNoSuchBucket, "RequestTimeTooSkewed": ErrClockSkew, "RequestExpired": ErrClockSkew,
	"SlowDown": ErrSlowDown, "SlowDownRead": ErrSlowDown, "SlowDownWrite": ErrSlowDown, "TooManyRequests": ErrSlowDown, "Throttling": ErrSlowDown,
	"ThrottlingException": ErrSlowDown, "RequestLimitExceeded": ErrSlowDown, "RequestThrottled": ErrSlowDown, "BandwidthLimitExceeded": ErrSlowDown,
	"XMinioStorageFull": ErrNoSpace, "QuotaExceeded": ErrNoSpace, "XMinioAdminBucketQuotaExceeded": ErrNoSpace, "InsufficientStorage": ErrNoSpace,
	"BadDigest": ErrChecksum, "XAmzContentChecksumMismatch": ErrChecksum, "XAmzContentSHA256Mismatch": ErrChecksum, "InvalidDigest": ErrChecksum,
	"IncompleteBody": ErrUnreachable, "RequestTimeout": ErrUnreachable, "UnexpectedEOF": ErrUnreachable,
	"InternalError": ErrUnavailable, "ServiceUnavailable": ErrUnavailable, "OperationAborted": ErrUnavailable, "Busy": ErrUnavailable,
	"InvalidRegion": ErrWrongRegion, "IllegalLocationConstraintException": ErrWrongRegion, "PermanentRedirect": ErrInvalid, "TemporaryRedirect": ErrInvalid,
	"EntityTooSmall": ErrInvalid, "EntityTooLarge": ErrInvalid, "InvalidPart": ErrInvalid, "InvalidPartOrder": ErrInvalid,
	"InvalidArgument": ErrInvalid, "InvalidBucketName": ErrInvalid, "InvalidRequest": ErrInvalid, "NotImplemented": ErrInvalid, "APINotSupported": ErrInvalid,
	"XMinioInvalidObjectName": ErrInvalid,
}

// classify gives an error of minio-go or of the network the sentinel that says what to do. Errors with a sentinel and errors of a
// context stay as they are.
func classify(err error) error {
	if err == nil || classified(err) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	var response minio.ErrorResponse
	if errors.As(err, &response) {
		return fmt.Errorf("%w: %w", sentinelOf(response), answer{response})
	}
	// What is left never got an answer in HTTP.
	var unknown x509.UnknownAuthorityError
	var host x509.HostnameError
	var invalid x509.CertificateInvalidError
	var record tls.RecordHeaderError
	var name *net.DNSError
	switch {
	case errors.As(err, &unknown), errors.As(err, &host), errors.As(err, &invalid):
		return fmt.Errorf("%w: %w", ErrUntrusted, err)
	case errors.As(err, &record), strings.Contains(err.Error(), "server gave HTTP response to HTTPS client"):
		return fmt.Errorf("%w: the endpoint speaks http, not https: %w", ErrWrongScheme, err)
	case errors.As(err, &name):
		return fmt.Errorf("%w: %w: %w", ErrUnreachable, ErrNoSuchHost, err)
	}
	return fmt.Errorf("%w: %w", ErrUnreachable, err)
}

func classified(err error) bool {
	for _, s := range []error{
		ErrNotFound, ErrExists, ErrRange, ErrAccessDenied, ErrBadCredentials, ErrNoSuchBucket, ErrClockSkew, ErrUnreachable, ErrSlowDown,
		ErrUnavailable, ErrNoSpace, ErrInvalid, ErrChecksum, ErrWrongScheme, ErrUntrusted, ErrWrongRegion,
	} {
		if errors.Is(err, s) {
			return true
		}
	}
	return false
}

func sentinelOf(r minio.ErrorResponse) error {
	switch {
	case r.Code == "AuthorizationHeaderMalformed" && strings.Contains(strings.ToLower(r.Message), "region"):
		return ErrWrongRegion
	case r.StatusCode == http.StatusBadRequest && strings.Contains(r.Message+r.Code, plainToTLS):
		return ErrWrongScheme
	}
	if s, ok := codes[r.Code]; ok {
		return s
	}
	switch {
	case r.StatusCode == http.StatusTooManyRequests:
		return ErrSlowDown
	case r.StatusCode == http.StatusInsufficientStorage:
		return ErrNoSpace
	case r.StatusCode == http.StatusRequestTimeout:
		return ErrUnreachable
	case r.StatusCode >= 500:
		return ErrUnavailable
	case r.StatusCode == http.StatusUnauthorized:
		return ErrBadCredentials
	case r.StatusCode == http.StatusForbidden:
		return ErrAccessDenied
	case r.StatusCode == http.StatusNotFound:
		return ErrNotFound
	case r.StatusCode == http.StatusPreconditionFailed:
		return ErrExists
	case r.StatusCode == http.StatusRequestedRangeNotSatisfiable:
		return ErrRange
	case r.StatusCode >= 400, r.StatusCode >= 300:
		return ErrInvalid
	}
	return ErrUnavailable
}

// plainToTLS is how Go's servers (MinIO is one) answer plain http on a port for https.
const plainToTLS = "HTTP request to an HTTPS server"

// answer is an answer of the store that says no.
type answer struct{ minio.ErrorResponse }

func (a answer) Error() string {
	r := a.ErrorResponse
	s := r.Error()
	if r.Code != "" {
		s = r.Code + ": " + s
	}
	if r.StatusCode != 0 {
		s = fmt.Sprintf("%s (HTTP %d)", s, r.StatusCode)
	}
	if r.RequestID != "" && r.RequestID != "minio" {
		s += ", request " + r.RequestID
	}
	return s
}
