package jetstream

import (
	"os"
	"testing"

	"github.com/perdure/perdure/internal/natstest"
)

func TestMain(m *testing.M) {
	natstest.Outside()
	os.Exit(m.Run())
}
