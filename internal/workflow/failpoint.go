//go:build failpoint

package workflow

import (
	"os"
	"path/filepath"
	"time"

	sdk "github.com/syntasso/kratix-go"

	"github.com/baleen-platform/baleen/internal/failpoint"
	"github.com/baleen-platform/baleen/internal/platform"
)

func init() {
	open = func(getenv func(string) string, now func() time.Time) (platform.Client, error) {
		client, err := platform.Open(getenv, now)
		return platform.Fatal(client), err
	}
}

// These take the place of the SDK's own, which a mount has otherwise.

func (m mount) WriteOutput(name string, content []byte) error {
	return m.fatally(filepath.Join("output", name), func() error { return m.KratixSDK.WriteOutput(name, content) })
}

func (m mount) WriteDestinationSelectors(selectors []sdk.DestinationSelector) error {
	return m.fatally("metadata/destination-selectors.yaml", func() error { return m.KratixSDK.WriteDestinationSelectors(selectors) })
}

func (m mount) WriteStatus(status sdk.Status) error {
	return m.fatally("metadata/status.yaml", func() error { return m.KratixSDK.WriteStatus(status) })
}

// fatally makes points before, amid and after the writing of a file, which is not
// written at once.
func (m mount) fatally(name string, write func() error) error {
	failpoint.Point("before writing " + name)
	failpoint.Point("amid writing "+name, func() {
		if err := write(); err != nil {
			panic(err)
		}
		file := filepath.Join(m.dir, name)
		info, err := os.Stat(file)
		if err == nil {
			err = os.Truncate(file, info.Size()/2)
		}
		if err != nil {
			panic(err)
		}
	})
	defer failpoint.Point("after writing " + name)
	return write()
}
