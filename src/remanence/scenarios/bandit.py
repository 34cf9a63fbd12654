"""Tasks whose most similar memories help least: where ranking by similarity is the worst of policies.

Families of tasks have nothing in common. Each has as many memories as there are success rates; the intent of memory r
shares more words with the task than that of memory r + 1, for every r, and its success rate is `success[r]`. With the
default rates, the nearest memory works once in twenty times and the sixth nearest nine times in ten. Whoever shortlists
by similarity sees the best memory only if the shortlist is long enough.

The rates are those of the toy by which the catalogue checks MemRL (utility-ranked retrieval over similar memories).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from remanence.core.errors import InvalidInput, NotFound
from remanence.scenarios.dice import Dice

__all__ = ["SUCCESS", "Bandit", "BanditMemory", "BanditTask", "bandit"]

SUCCESS = (0.05, 0.1, 0.2, 0.3, 0.5, 0.9)
"""Success rates by similarity rank, the most similar memory first."""

TASK_WORDS = (
    "almanac anchor antler apron arbour archway awning axle badge bagel balcony ballad balloon bamboo banjo barrel "
    "basin basket beacon beaker bellows bench beret bison blanket blossom bobbin bonnet bookcase boulder bracelet "
    "bramble brass bridle briefcase bristle broom bucket buckle bugle bumper burrow butter button cabbage cabinet "
    "cactus camel candle canopy canvas captain caravan cargo carpet carrot cartoon castle catalogue caterpillar "
    "cavern cellar chalk chandelier chapel charcoal cherry chestnut chimney chisel cider cinnamon cistern citadel "
    "clarinet cloak clover cobbler coconut collar comet compass copper coral cottage cradle crater crayon cricket "
    "crystal cupboard curtain cushion cymbal dagger daisy dolphin domino dragon drawer drum dune easel eclipse elbow "
    "emblem embroidery engine envelope falcon feather fence fern ferry fiddle fig flagpole flannel flask flute "
    "fountain fox funnel galaxy gallery garland garlic gate gazebo geyser ginger giraffe glacier goblet granite grape "
    "gravel greenhouse guitar hammock hamster harness harp harvest hatchet hazel hedge helmet heron honey hornet "
    "horseshoe hyacinth icicle inkwell insect island ivy jacket jasmine jelly jigsaw juniper kayak kennel kettle "
    "keyhole kiosk kite kitten knapsack lagoon lamp lantern lavender ledger lemon leopard lettuce lighthouse lilac "
    "limestone lizard lobster locket locomotive lotus lute magnet magpie mailbox mallet mango mansion maple marble "
    "margin marigold mattress meadow medal melon meteor mineral mirror mitten moccasin monument moss moth mural "
    "mushroom mussel napkin necklace needle nettle nutmeg oar oasis obelisk olive opal orchard orchid ostrich otter "
    "oven oyster paddle pagoda palette panther parachute parasol parchment parsley pavilion peacock pebble pelican "
    "pendulum pepper perfume piano pigeon pillow pineapple pistachio pitcher planet plaster plough plum podium poppy "
    "porcelain porch portrait pottery pouch puddle pulley pumpkin puppet pyramid quarry quilt rabbit radish raft "
    "rainbow raisin rake raspberry raven reed ribbon rocket rooster rosemary rudder saddle saffron sail salmon sandal "
    "sapphire sardine satchel saucer scaffold scarf sculpture seashell sesame shawl shovel shutter silk skeleton "
    "sledge slipper snail snorkel sofa spade sparrow spindle spinach sponge spoon squirrel stable staircase statue "
    "steeple stirrup stopwatch submarine sundial swallow tambourine tapestry teapot telescope temple thermos thimble "
    "thistle thread thunder timber toboggan tractor trellis triangle trolley trombone trophy trout trumpet tulip "
    "tunnel turnip turtle umbrella urn valley vanilla vase velvet veranda village vinegar violet violin volcano "
    "waffle wagon walnut walrus warehouse waterfall weasel whistle widow willow windmill wombat wreath yacht zeppelin "
    "zither"
).split()
OTHER_WORDS = (
    "algebra audit budget calendar census clause decree decimal dialogue election essay fraction grammar index invoice "
    "jury lecture merger module network oath payroll petition policy premium protocol quota ratio receipt referendum "
    "salary seminar statute subsidy syllabus syntax tariff tax theorem treaty verdict veto vote warrant zoning"
).split()
ADVICE = (
    "start with the heavy parts and keep a list",
    "ask for help before the second step",
    "measure twice and note every result",
    "work from left to right without a pause",
    "sort everything by size before anything else",
    "leave the hardest step for the afternoon",
    "check the outcome after each single step",
    "repeat the first step until nothing changes",
)


@dataclass(frozen=True, slots=True)
class BanditMemory:
    """An experience with a task of one family.

    `intent` is the text to compare with a task, `experience` what the memory says to do. `rank` is the place by
    similarity among the memories of the family, 0 the nearest; `success` the probability that following it works,
    known to checkers only.
    """

    id: str
    family: int
    rank: int
    intent: str
    experience: str
    success: float


@dataclass(frozen=True, slots=True)
class BanditTask:
    """What is to be done in one family; the same words in each epoch."""

    id: str
    family: int
    text: str


@dataclass(frozen=True, slots=True)
class Bandit:
    """The tasks, one per family, and all memories, in an order that says nothing."""

    tasks: tuple[BanditTask, ...]
    memories: tuple[BanditMemory, ...]
    seed: int

    def memory(self, id: str) -> BanditMemory:
        """The memory of this id. Raises `NotFound`."""
        for memory in self.memories:
            if memory.id == id:
                return memory
        raise NotFound(f"there is no memory {id!r}; ids run from {self.memories[0].id!r} on")

    def of(self, task: BanditTask) -> tuple[BanditMemory, ...]:
        """The memories of the task's family, nearest first."""
        return tuple(sorted((m for m in self.memories if m.family == task.family), key=lambda memory: memory.rank))

    def epoch(self, number: int) -> tuple[BanditTask, ...]:
        """The tasks in the order of this epoch (a shuffle of its own)."""
        return tuple(Dice(self.seed, "epoch", number).shuffled(self.tasks))

    def rate(self, task: BanditTask, memory_id: str) -> float:
        """The probability that following this memory solves the task: 0 for a memory of another family."""
        memory = self.memory(memory_id)
        return memory.success if memory.family == task.family else 0.0

    def reward(self, task: BanditTask, memory_id: str | None, epoch: int) -> int:
        """1 if the task of this epoch is solved by following that memory, else 0; without a memory always 0.

        One uniform number per (seed, task, epoch) decides for all memories alike: a better memory never fails where a
        worse one of the same family works, so that policies compared on one seed share their luck.
        """
        if memory_id is None:
            return 0
        return int(Dice(self.seed, "reward", task.id, epoch).chance(self.rate(task, memory_id)))


def bandit(seed: int, *, families: int = 20, success: Sequence[float] = SUCCESS, extra_words: int = 2) -> Bandit:
    """`families` tasks, each with `len(success)` memories of these success rates, the most similar one first.

    A task has n = len(success) + `extra_words` words of its own. The intent of memory r keeps the first n - 1 - r of
    them and has words of no task for the rest, so all texts of a family are equally long: the cosine of word counts is
    (n - 1 - r) / n, and 0 between families. With the defaults: 7/8, 6/8, ... 2/8.

    Errors: `InvalidInput` for no family, no memory, a rate outside [0, 1], or more words than there are.
    """
    size = len(success) + extra_words
    if families < 1 or not success or extra_words < 1:
        raise InvalidInput(f"families={families}, len(success)={len(success)}, extra_words={extra_words}: all need 1")
    if any(not 0 <= rate <= 1 for rate in success):
        raise InvalidInput(f"success={tuple(success)} must be probabilities from 0 to 1")
    if families * size > len(TASK_WORDS) or len(success) > len(OTHER_WORDS):
        raise InvalidInput(
            f"families={families} of {size} words need {families * size} words, and there are {len(TASK_WORDS)}: "
            "take fewer families, memories or extra_words"
        )
    dice = Dice(seed, "bandit")
    words = dice.shuffled(TASK_WORDS)
    tasks: list[BanditTask] = []
    drafts: list[tuple[int, int, str, str, float]] = []
    for family in range(families):
        own = words[family * size : (family + 1) * size]
        tasks.append(BanditTask(f"t{family:03}", family, " ".join(dice.shuffled(own))))
        for rank, rate in enumerate(success):
            foreign = dice.shuffled(OTHER_WORDS)[: rank + 1]
            intent = " ".join(dice.shuffled(own[: size - 1 - rank] + foreign))
            drafts.append((family, rank, intent, dice.pick(ADVICE), rate))
    memories = tuple(BanditMemory(f"m{i:04}", *draft) for i, draft in enumerate(dice.shuffled(drafts)))
    return Bandit(tuple(tasks), memories, seed)
