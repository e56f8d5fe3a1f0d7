import json
import math

import pytest

from nailorch.optimizers import SGD, Adam
from nailorch.schedules import (
    CosineAnnealingLR,
    MultiStepLR,
    OneCycleLR,
    ReduceLROnPlateau,
    Schedule,
    StepLR,
    WarmUpLR,
)

LOSSES = [3.0, 2.0, 2.0, 2.1, 2.5, 2.4, math.nan, 1.0, 1.0, 1.0, 1.0, 1.0, 0.99995, 1.2, 1.3, 1.4]


def rates(schedule, optimizer, times):
    """Return the rate at each of the times, told both as batches and as epochs."""
    return [schedule.update(optimizer, step=time, epoch=time) for time in times]


def torch_rates(make, times, lr=0.5):
    torch = pytest.importorskip('torch')
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr)
    scheduler, values = make(torch.optim.lr_scheduler, optimizer), [optimizer.param_groups[0]['lr']]
    for _ in times[1:]:
        optimizer.step()
        scheduler.step()
        values.append(optimizer.param_groups[0]['lr'])
    return values


@pytest.mark.parametrize(('schedule', 'make', 'length'), [
    (StepLR(3, 0.5), lambda t, o: t.StepLR(o, 3, 0.5), 12),
    (MultiStepLR([7, 2], 0.3), lambda t, o: t.MultiStepLR(o, [2, 7], 0.3), 12),
    (CosineAnnealingLR(10, 0.01), lambda t, o: t.CosineAnnealingLR(o, 10, 0.01), 11),
    (OneCycleLR(0.8, 20), lambda t, o: t.OneCycleLR(o, 0.8, 20, cycle_momentum=False), 20),
    (OneCycleLR(0.8, 17, 0.25, 10, 99),
     lambda t, o: t.OneCycleLR(o, 0.8, 17, None, None, 0.25, 'cos', False, div_factor=10,
                               final_div_factor=99), 17),
    (WarmUpLR(4, start_factor=0.2), lambda t, o: t.LinearLR(o, 0.2, total_iters=4), 8),
    (WarmUpLR(4, StepLR(3, 0.5), 0.2),
     lambda t, o: t.ChainedScheduler([t.StepLR(o, 3, 0.5), t.LinearLR(o, 0.2, total_iters=4)]), 10),
], ids=['step', 'multistep', 'cosine', 'one-cycle', 'one-cycle options', 'warm-up', 'warm-up before steps'])
def test_schedule_equals_pytorch(schedule, make, length):
    assert rates(schedule, SGD(0.5), range(length)) == pytest.approx(torch_rates(make, range(length)), rel=1e-9)


@pytest.mark.parametrize('options', [{}, {'factor': 0.5, 'patience': 1}, {'patience': 1, 'cooldown': 2},
                                     {'patience': 0, 'min_lr': 0.01}, {'mode': 'max', 'patience': 2}])
def test_plateau_equals_pytorch(options):
    torch = pytest.importorskip('torch')
    peer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], 0.5)
    theirs = torch.optim.lr_scheduler.ReduceLROnPlateau(peer, **options)
    ours, optimizer = ReduceLROnPlateau(**options), SGD(0.5)
    for epoch, loss in enumerate(LOSSES):
        theirs.step(loss)
        expected = peer.param_groups[0]['lr']
        assert ours.update(optimizer, epoch=epoch + 1, metric=loss) == pytest.approx(expected, rel=1e-9)
        assert ours.update(optimizer, epoch=epoch + 1) == optimizer.lr == pytest.approx(expected, rel=1e-9)


def test_one_cycle_has_its_three_corners():
    schedule = OneCycleLR(1.0, 101, pct_start=0.5, div_factor=10, final_div_factor=100)
    first, middle, last, later = rates(schedule, SGD(), [0, 49.5, 100, 1000])
    assert (first, middle) == pytest.approx((0.1, 1.0))
    assert last == later == pytest.approx(0.001)


def test_one_cycle_of_few_steps_begins_at_its_top():
    assert rates(OneCycleLR(1.0, 2), SGD(), [0, 1]) == pytest.approx([1.0, 1 / 25e4])


def test_cosine_stays_at_its_end():
    assert rates(CosineAnnealingLR(4, 0.1), SGD(0.9), [0, 2, 4, 5, 8]) == pytest.approx([0.9, 0.5, 0.1, 0.1, 0.1])


def test_rate_follows_from_progress_alone():
    forwards, backwards = (rates(CosineAnnealingLR(9), Adam(0.5), times) for times in (range(10), range(9, -1, -1)))
    assert forwards == backwards[::-1]
    assert len(set(forwards)) == 10


def every():
    return [StepLR(2), MultiStepLR([3, 5]), CosineAnnealingLR(8), OneCycleLR(1.0, 16), ReduceLROnPlateau(patience=1),
            WarmUpLR(5), WarmUpLR(5, CosineAnnealingLR(9)), WarmUpLR(5, ReduceLROnPlateau(patience=1))]


@pytest.mark.parametrize('index', range(len(every())))
def test_resumed_schedule_goes_on_exactly(index):
    schedule, optimizer = every()[index], SGD(0.5)
    told = [{'step': time, 'epoch': time, 'metric': LOSSES[time]} for time in range(16)]
    for each in told[:6]:
        schedule.update(optimizer, **each)
    resumed, its_optimizer = every()[index], SGD(optimizer.lr)
    resumed.load_state_dict(json.loads(json.dumps(schedule.state_dict())))
    for each in told[6:]:
        assert resumed.update(its_optimizer, **each) == schedule.update(optimizer, **each)
    assert resumed.state_dict() == schedule.state_dict()


@pytest.mark.parametrize(('mine', 'other'), [
    (StepLR(2), MultiStepLR([2])),
    (WarmUpLR(2, StepLR(2)), WarmUpLR(2)),
    (WarmUpLR(2, StepLR(2)), WarmUpLR(2, MultiStepLR([2]))),
])
def test_load_state_dict_refuses_another_schedules_state(mine, other):
    with pytest.raises(ValueError, match=r'StepLR.load_state_dict: this is the state of (None|MultiStepLR)'):
        mine.load_state_dict(other.state_dict())


def test_schedule_counts_what_step_on_says():
    by_epoch, by_batch = StepLR(2, 0.5), StepLR(2, 0.5, step_on='batch')
    assert (by_epoch.step_on, by_batch.step_on, OneCycleLR(1.0, 9).step_on, WarmUpLR(2).step_on) == \
        ('epoch', 'batch', 'batch', 'batch')
    assert by_epoch.update(SGD(1.0), step=100, epoch=1) == 1.0
    assert by_batch.update(SGD(1.0), step=4, epoch=1) == 0.25


def test_warm_up_by_batches_wraps_steps_by_epochs():
    schedule, optimizer = WarmUpLR(4, StepLR(1, 0.1), start_factor=0.5), SGD(1.0)
    assert schedule.update(optimizer, step=2, epoch=0) == pytest.approx(0.75)
    assert schedule.update(optimizer, step=9, epoch=2) == pytest.approx(0.01)


def test_missing_progress_is_named():
    with pytest.raises(TypeError, match=r'OneCycleLR\.update: it changes every batch; give step=…'):
        OneCycleLR(1.0, 9).update(SGD(), epoch=1)
    with pytest.raises(TypeError, match=r'it changes every epoch; give epoch=…'):
        StepLR(1).update(SGD(), step=1)


@pytest.mark.parametrize(('make', 'text'), [
    (lambda: StepLR(0), 'step_size: 0 is too small'),
    (lambda: CosineAnnealingLR(0), 'T_max: 0 is too small'),
    (lambda: OneCycleLR(1.0, 1), 'total_steps: 1 is too small'),
    (lambda: OneCycleLR(1.0, 9, pct_start=1), r'pct_start = 1: expected a number in \(0, 1\)'),
    (lambda: WarmUpLR(0), 'total_iters: 0 is too small'),
    (lambda: ReduceLROnPlateau(factor=1.5), r'factor = 1.5: expected a number in \(0, 1\)'),
    (lambda: ReduceLROnPlateau('least'), r"mode = 'least': choose one of 'min', 'max'"),
    (lambda: StepLR(1, step_on='step'), r"step_on = 'step': choose one of 'epoch', 'batch'"),
])
def test_schedule_refuses_what_makes_no_sense(make, text):
    with pytest.raises(ValueError, match=text):
        make()


def test_users_schedule_needs_only_at():
    class Inverse(Schedule):
        def at(self, lr, time):
            return lr / (1 + time)

    assert rates(Inverse(), SGD(6.0), range(3)) == [6.0, 3.0, 2.0]
