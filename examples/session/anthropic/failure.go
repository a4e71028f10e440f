package anthropic

import (
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"time"

	sdk "github.com/anthropics/anthropic-sdk-go"
	"github.com/anthropics/anthropic-sdk-go/shared"

	"github.com/perdure/perdure/actor"
)

// failure says what the API's or the network's error means for the step that asked.
func failure(err error) error {
	api := (*sdk.Error)(nil)
	if !errors.As(err, &api) {
		return fmt.Errorf("ask the model: %w", err)
	}
	err = fmt.Errorf("ask the model: %w", err)
	if !passing(api) {
		return actor.Terminal(err)
	}
	if wait, ok := retryAfter(api.Response.Header, time.Now()); ok {
		return actor.RetryAfter(err, wait)
	}
	return err
}

// passing reports whether the same request may be answered later. An error within a stream has status 200.
func passing(e *sdk.Error) bool {
	switch e.Type() {
	case shared.ErrorTypeOverloadedError, shared.ErrorTypeAPIError, shared.ErrorTypeTimeoutError, shared.ErrorTypeRateLimitError:
		return true
	case shared.ErrorTypeInvalidRequestError, shared.ErrorTypeAuthenticationError, shared.ErrorTypePermissionError,
		shared.ErrorTypeNotFoundError, shared.ErrorTypeBillingError:
		return false
	}
	switch e.StatusCode {
	case http.StatusRequestTimeout, http.StatusConflict, http.StatusTooManyRequests:
		return true
	}
	return e.StatusCode < 400 || e.StatusCode >= 500
}

// retryAfter reads how long the server wants to be left alone; ok is false when it does not say.
func retryAfter(h http.Header, now time.Time) (wait time.Duration, ok bool) {
	if ms, err := strconv.ParseFloat(h.Get("Retry-After-Ms"), 64); err == nil {
		return pause(ms / 1000)
	}
	after := h.Get("Retry-After")
	if s, err := strconv.ParseFloat(after, 64); err == nil {
		return pause(s)
	}
	if at, err := http.ParseTime(after); err == nil {
		return pause(at.Sub(now).Seconds())
	}
	return 0, false
}

// longestPause is how long a server can put an answer off.
const longestPause = 24 * time.Hour

func pause(seconds float64) (time.Duration, bool) {
	if math.IsNaN(seconds) || math.IsInf(seconds, 0) {
		return 0, false
	}
	seconds = min(max(seconds, 0), longestPause.Seconds())
	return time.Duration(seconds * float64(time.Second)), true
}
