// Command vm runs the project's tests on other kernels: it boots Debian's cloud
// kernels in QEMU, without hardware help, and writes a table of the results.
// README.md says how.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"time"
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("vm: ")
	if err := run(); err != nil {
		log.Fatal(err)
	}
}

func run() error {
	var (
		kernels = flag.String("kernels", strings.Join(allKernels, ","), "kernels to boot")
		cache   = flag.String("cache", "", "folder for downloads (default: staccato-vm in the user's cache)")
		limit   = flag.Duration("timeout", 10*time.Minute, "time that one kernel may take")
		table   = flag.String("table", "", "file to write the table to, in Markdown")
		keep    = flag.String("keep", "", "folder to keep what the virtual machines printed")
	)
	flag.Parse()
	if *cache == "" {
		dir, err := os.UserCacheDir()
		if err != nil {
			return fmt.Errorf("find a folder for downloads: %w", err)
		}
		*cache = filepath.Join(dir, "staccato-vm")
	}
	asked, err := parseKernels(*kernels)
	if err != nil {
		return err
	}
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt)
	defer cancel()
	work, err := os.MkdirTemp("", "staccato-vm-")
	if err != nil {
		return fmt.Errorf("make a folder to work in: %w", err)
	}
	defer os.RemoveAll(work)

	packages, err := openPackages(ctx, filepath.Join(*cache, "apt"))
	if err != nil {
		return err
	}
	built := make(map[string]string) // folder of programs by architecture
	var results []*result
	for _, k := range asked {
		start := time.Now()
		image, version, err := packages.kernel(ctx, k)
		if err != nil {
			return fmt.Errorf("get kernel %s: %w", k, err)
		}
		if built[k.arch] == "" {
			built[k.arch] = filepath.Join(work, k.arch)
			if err := build(ctx, packages, k.arch, built[k.arch]); err != nil {
				return fmt.Errorf("build for %s: %w", k.arch, err)
			}
		}
		log.Printf("%s: booting %s (prepared in %v)", k, version, time.Since(start).Round(time.Second))
		r, err := test(ctx, k, image, built[k.arch], work, *limit)
		if err != nil {
			return fmt.Errorf("test %s: %w", k, err)
		}
		r.version = version
		results = append(results, r)
		log.Print(r.summary())
		if *keep != "" {
			if err := os.WriteFile(filepath.Join(*keep, k.String()+".log"), r.console, 0o644); err != nil {
				return fmt.Errorf("keep output: %w", err)
			}
		}
	}
	if *table != "" {
		if err := writeTable(*table, results); err != nil {
			return err
		}
	}
	return verdict(os.Stdout, results)
}

// test boots one kernel and runs what is planned for it.
func test(ctx context.Context, k kernel, image, programs, work string, limit time.Duration) (*result, error) {
	runs := planFor(k)
	initramfs := filepath.Join(work, "initramfs.cpio")
	if err := writeInitramfs(initramfs, programs, runs); err != nil {
		return nil, err
	}
	start := time.Now()
	console, err := boot(ctx, k.arch, image, initramfs, limit)
	if err != nil {
		return nil, err
	}
	r := &result{kernel: k, console: console.output, ended: console.ended, took: time.Since(start)}
	return r, r.parse(ctx, runs)
}

// verdict prints the table and says whether all is good.
func verdict(out io.Writer, results []*result) error {
	if err := printTable(out, results); err != nil {
		return err
	}
	var bad []string
	for _, r := range results {
		if !r.good() {
			bad = append(bad, r.kernel.String())
			fmt.Fprintf(out, "\n%s: %s\n", r.kernel, r.failures())
		}
	}
	if len(bad) > 0 {
		return errors.New("failed on " + strings.Join(bad, ", "))
	}
	return nil
}
