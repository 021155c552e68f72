# A thin door to CMake.
PRESET ?= release
BUILD  := build/$(PRESET)

.PHONY: program all quickstart test deps configure install clean

program: configure
	@cmake --build $(BUILD) --target program

all: configure
	@cmake --build $(BUILD)

deps:
	@tools/install-deps

configure: deps
	@test -f $(BUILD)/build.ninja || cmake --preset $(PRESET)

install: program
	cmake --install $(BUILD)

test: all
	ctest --test-dir $(BUILD) -j $$(nproc) --output-on-failure

quickstart: program
	@tools/manpages data/manpages
	@$(BUILD)/bin/genflow run pipelines/quickstart.yaml

clean:
	rm -rf build
