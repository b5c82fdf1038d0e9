"""Train a tiny PackFlow on a folder of CIF files and look at what it learned: seconds on a CPU.

    python examples/02_train_tiny.py [FOLDER_OF_CIF_FILES]

Without a folder it takes the few open crystals of the test suite. The command line does the same for a real run:

    packflow prepare FOLDER crystals
    python -m packflow.train --recipe open-2m --data crystals --out run
"""

import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import packflow
from packflow.data.prepare import PrepareConfig
from packflow.model.weights import load_model
from packflow.train import recipe_named, train

TEST_CRYSTALS = Path(__file__).parents[1] / "tests" / "data" / "cif"


def main() -> None:
    """Prepare, train, sample."""
    source = Path(sys.argv[1]) if len(sys.argv) > 1 else TEST_CRYSTALS
    with tempfile.TemporaryDirectory() as folder:
        # Molecules are split, never crystals: the score below is on molecules that were not trained on.
        data = Path(folder) / "crystals"
        table = source / "table.csv"
        packflow.prepare(source, data, PrepareConfig(fractions=(0.8, 0.1, 0.1)), table if table.is_file() else None)
        dataset = packflow.CrystalDataset.open(data)

        config = replace(recipe_named("tiny"), n_steps=100)
        result = train(config, dataset, Path(folder) / "run")

        model = load_model(result.checkpoint)
        template = dataset[int(dataset.indices("validation")[0])].template
        for proposal in packflow.sample(model, template, n_samples=3, config=packflow.SampleConfig(20)):
            print(proposal.index, proposal.crystal.lattice.round(1), proposal.problem or "a valid cell")


if __name__ == "__main__":
    main()
