"""Every kind of source, each benchmark at its full published size (annotations only), and what malformed ones get."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from bier.data import Manifest, open_source
from bier.data.datasets import cars196, cub, inshop, sop, vehicleid
from bier.errors import DataError
from bier.settings.schema import DataConfig


def spread(images: int, labels: range) -> Iterator[tuple[int, int]]:
    """``images`` numbered from 0, each with its label, as evenly as possible and in order of label."""
    for number in range(images):
        yield number, labels[number * len(labels) // images]


def counts(manifest: Manifest) -> dict[str, tuple[int, int]]:
    parts = {str(split): manifest.take(manifest.split == split) for split in set(manifest.split)}
    return {split: (len(part), len(part.classes())) for split, part in parts.items()}


def change(file: Path, line: int, text: str | None) -> None:
    """Put another text in place of a line (1 is the first), or take the line away."""
    lines = file.read_text().split("\n")
    lines[line - 1 : line] = [] if text is None else [text]
    file.write_text("\n".join(lines))


# --- the benchmarks, full size ----------------------------------------------------------------------------------------


def make_cub(folder: Path) -> Path:
    rows = [*spread(5_864, range(1, 101)), *spread(5_924, range(101, 201))]
    rows = [(number, label) for number, (_, label) in enumerate(rows, start=1)]
    images = (f"{number} {label:03}.Some_Bird/Some_Bird_{number:04}.jpg" for number, label in rows)
    (folder / "images.txt").write_text("\n".join(images) + "\n")
    (folder / "image_class_labels.txt").write_text("\n".join(f"{number} {label}" for number, label in rows) + "\n")
    (folder / "bounding_boxes.txt").write_text("\n".join(f"{n} 60.0 27.0 325.0 304.0" for n, _ in rows) + "\n")
    return folder


def make_sop(folder: Path) -> Path:
    for name, images, labels in (("train", 59_551, range(1, 11_319)), ("test", 60_502, range(11_319, 22_635))):
        rows = (
            "{0} {1} {2} group{2}_final/{1}_{0}.JPG".format(n + 1, c, 1 + c % 12) for n, c in spread(images, labels)
        )
        (folder / f"Ebay_{name}.txt").write_text("\n".join(["image_id class_id super_class_id path", *rows]) + "\n")
    return folder


def make_inshop(folder: Path) -> Path:
    parts = (
        ("train", 25_882, range(3_997)),
        ("query", 14_218, range(4_000, 7_985)),
        ("gallery", 12_612, range(4_000, 7_985)),
    )
    rows = [
        f"{f'img/WOMEN/Dresses/id_{c:08}/{n}_{status}.jpg':<71} {f'id_{c:08}':<12}   {status}"
        for status, images, labels in parts
        for n, c in spread(images, labels)
    ]
    (folder / "Eval").mkdir()
    (folder / "Img" / "img").mkdir(parents=True)
    text = ["52712", "image_name item_id evaluation_status", *rows]
    (folder / "Eval" / "list_eval_partition.txt").write_text("\r\n".join(text))
    return folder


def make_vehicleid(folder: Path) -> Path:
    (folder / "train_test_split").mkdir()
    lists = {"train_list": (113_346, range(1, 13_165))}
    lists |= {f"test_list_{n}": (8 * n, range(20_000, 20_000 + n)) for n in (800, 1600, 2400)}
    for name, (images, labels) in lists.items():
        rows = (f"{n:07} {c}" for n, c in spread(images, labels))
        (folder / "train_test_split" / f"{name}.txt").write_text("\n".join(rows) + "\n")
    return folder


def car_records(rows: list[tuple[int, int]], path: str, prefix: str) -> np.ndarray:
    names = ("bbox_x1", "bbox_y1", "bbox_x2", "bbox_y2", "class", path)
    records = np.empty(len(rows), dtype=[(name, object) for name in names])
    for record, (number, label) in zip(records, rows, strict=True):
        for name, value in zip(names, (39, 116, 569, 375, label, f"{prefix}{number:06}.jpg"), strict=True):
            record[name] = value
    return records


def car_rows() -> list[tuple[int, int]]:
    rows = [*spread(8_054, range(1, 99)), *spread(8_131, range(99, 197))]
    return [(number, label) for number, (_, label) in enumerate(rows, start=1)]


CAR_NAMES = np.array([f"Car {number}" for number in range(1, 197)], dtype=object)


def make_cars_joint(folder: Path) -> Path:
    from scipy.io import savemat

    records = car_records(car_rows(), "relative_im_path", "car_ims/")
    savemat(folder / "cars_annos.mat", {"annotations": records, "class_names": CAR_NAMES})
    return folder


def make_cars_halves(folder: Path) -> Path:
    from scipy.io import savemat

    rows = car_rows()
    (folder / "devkit").mkdir()
    savemat(folder / "devkit" / "cars_meta.mat", {"class_names": CAR_NAMES})
    for name, half in (("devkit/cars_train_annos", rows[::2]), ("cars_test_annos_withlabels", rows[1::2])):
        savemat(folder / f"{name}.mat", {"annotations": car_records(half, "fname", "")})
    return folder


Make = Callable[[Path], Path]
Made = Callable[[Make, Path], Path]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Like ``make(folder)``, but each benchmark is generated once and then copied."""
    known: dict[str, Path] = {}

    def copy(make: Make, folder: Path) -> Path:
        if make.__name__ not in known:
            known[make.__name__] = make(tmp_path_factory.mktemp(make.__name__))
        return Path(shutil.copytree(known[make.__name__], folder, dirs_exist_ok=True))

    return copy


def test_cub(tmp_path: Path, made: Made) -> None:
    manifest = open_source(made(make_cub, tmp_path), DataConfig(crop_to_bbox=True))
    assert counts(manifest) == {"train": (5_864, 100), "test": (5_924, 100)} and manifest.protocol == "self"
    assert manifest.image[0] == "images/001.Some_Bird/Some_Bird_0001.jpg" and manifest.row[-1] == 11_788
    assert manifest.label[[0, 5_863, 5_864, -1]].tolist() == ["1", "100", "101", "200"]
    assert manifest.name is not None and manifest.name[0] == "Some Bird"
    assert manifest.bbox is not None and manifest.bbox[-1].tolist() == [60, 27, 325, 304]
    assert open_source(tmp_path).bbox is None


@pytest.mark.parametrize(
    ("make", "first"),
    [
        pytest.param(make_cars_joint, "car_ims/000001.jpg", marks=pytest.mark.slow),
        pytest.param(make_cars_halves, "cars_train/000001.jpg", marks=pytest.mark.slow),
    ],
)
def test_cars196_in_both_layouts(tmp_path: Path, made: Made, make: Make, first: str) -> None:
    manifest = open_source(made(make, tmp_path), DataConfig(crop_to_bbox=True))
    assert counts(manifest) == {"train": (8_054, 98), "test": (8_131, 98)} and manifest.protocol == "self"
    assert manifest.image[0] == first and manifest.label[0] == "1"
    assert set(manifest.only("test").label) == {str(label) for label in range(99, 197)}
    assert manifest.name is not None and manifest.name[0] == "Car 1" and manifest.name[-1] == "Car 196"
    assert manifest.bbox is not None and manifest.bbox[0].tolist() == [38, 115, 531, 260]


def test_sop(tmp_path: Path, made: Made) -> None:
    manifest = open_source(made(make_sop, tmp_path))
    assert counts(manifest) == {"train": (59_551, 11_318), "test": (60_502, 11_316)} and manifest.protocol == "self"
    assert manifest.image[0] == "group2_final/1_1.JPG" and manifest.row[0] == 2 and manifest.row[-1] == 60_503
    assert manifest.label[[0, 59_550, 59_551, -1]].tolist() == ["1", "11318", "11319", "22634"]
    assert manifest.group is not None and manifest.group[0] == "group2" and len(set(manifest.group)) == 12


def test_inshop(tmp_path: Path, made: Made) -> None:
    manifest = inshop.read(made(make_inshop, tmp_path))
    assert open_source(tmp_path).fingerprint() == manifest.fingerprint()
    assert counts(manifest) == {"train": (25_882, 3_997), "query": (14_218, 3_985), "gallery": (12_612, 3_985)}
    assert manifest.protocol == "query-gallery" and set(manifest.only("query").label) == set(
        manifest.only("gallery").label
    )
    assert manifest.path(0) == tmp_path / "Img" / "img/WOMEN/Dresses/id_00000000/0_train.jpg"
    assert manifest.row[[0, -1]].tolist() == [3, 52_714] and manifest.label[-1] == "id_00007984"


def test_vehicleid_lists_and_protocols(tmp_path: Path, made: Made) -> None:
    made(make_vehicleid, tmp_path)
    manifest = open_source(tmp_path)
    assert counts(manifest) == {"train": (113_346, 13_164), "test": (6_400, 800)}
    assert manifest.protocol == "vehicleid-draws" and manifest.image[0] == "image/0000000.jpg"
    large = vehicleid.read(tmp_path, size=2400, protocol="leave-one-out")
    assert counts(large)["test"] == (19_200, 2_400) and large.protocol == "vehicleid-leave-one-out"
    with pytest.raises(DataError, match="800, 1600 and 2400"):
        vehicleid.read(tmp_path, size=3200)


@pytest.mark.parametrize(
    ("make", "read", "file", "line", "wrong"),
    [
        (make_cub, cub.read, "images.txt", 11_788, "test: 5,923 images of 100 classes, published are 5,924 images"),
        pytest.param(
            make_sop,
            sop.read,
            "Ebay_train.txt",
            2,
            "train: 59,550 images of 11,318 classes, published are 59,551",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            make_vehicleid,
            vehicleid.read,
            "train_test_split/train_list.txt",
            9,
            "train: 113,345 images",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_counts_that_are_not_the_published_ones(
    tmp_path: Path, made: Made, make: Make, read: Callable[..., Manifest], file: str, line: int, wrong: str
) -> None:
    made(make, tmp_path)
    change(tmp_path / file, line, None)
    with pytest.raises(DataError, match=wrong) as caught:
        read(tmp_path)
    assert "CSV" in str(caught.value) and "data.strict=false" in str(caught.value)
    assert len(read(tmp_path, strict=False)) > 5_000


def test_a_class_on_both_sides_of_a_benchmark(tmp_path: Path, made: Made) -> None:
    made(make_sop, tmp_path)
    change(tmp_path / "Ebay_test.txt", 2, "1 11319 1 a_final/1.JPG")
    for line in range(3, 9):  # the whole of the first test class becomes a training class
        change(tmp_path / "Ebay_test.txt", line, f"{line} 7 1 a_final/{line}.JPG")
    with pytest.raises(DataError, match="1 classes are both in train and elsewhere"):
        sop.read(tmp_path)


@pytest.mark.parametrize(
    ("make", "read", "file", "line", "text", "message"),
    [
        (make_cub, cub.read, "images.txt", 7, "7 a b.jpg", r"images\.txt: 1 faulty row:\n  row 7: 3 fields"),
        (make_cub, cub.read, "images.txt", 7, "7 ../../etc/passwd", "row 7: the path leads out"),
        (make_cub, cub.read, "images.txt", 7, "7 /etc/passwd", "row 7: the path leads out"),
        (make_cub, cub.read, "image_class_labels.txt", 7, "7 x", "row 7: image 7 has no class"),
        (make_cub, cub.read, "image_class_labels.txt", 7, "7 201", "row 7: image 7 has no class"),
        (make_cub, cub.read, "bounding_boxes.txt", 7, "7 1 2 wide 4", "row 7: image 7 has no box"),
        (make_cub, cub.read, "bounding_boxes.txt", 7, "7 1 2 3", r"bounding_boxes\.txt(.|\n)*row 7: 4 fields"),
        (make_sop, sop.read, "Ebay_test.txt", 1, "1 2 3 x.jpg", r"Ebay_test\.txt(.|\n)*row 1: the header"),
        (make_sop, sop.read, "Ebay_test.txt", 5, "4 x 1 a.JPG", r"Ebay_test\.txt(.|\n)*row 5: the class"),
        (make_sop, sop.read, "Ebay_test.txt", 5, "4 5 1 ../a.JPG", "row 5: the path leads out"),
        (
            make_inshop,
            inshop.read,
            "Eval/list_eval_partition.txt",
            1,
            "52711",
            "row 1: the count of rows should be 52712",
        ),
        (make_inshop, inshop.read, "Eval/list_eval_partition.txt", 2, "a b c", "row 2: the header"),
        (make_inshop, inshop.read, "Eval/list_eval_partition.txt", 4, "img/a.jpg id_1 tset", "row 4: (.*)'tset'"),
        (
            make_vehicleid,
            vehicleid.read,
            "train_test_split/test_list_800.txt",
            3,
            "1",
            "test_list_800(.|\n)*row 3: 1 fields",
        ),
        (make_vehicleid, vehicleid.read, "train_test_split/train_list.txt", 3, "../1 2", "row 3: the name leads out"),
    ],
)
def test_malformed_lines_are_named(
    tmp_path: Path,
    made: Made,
    make: Make,
    read: Callable[..., Manifest],
    file: str,
    line: int,
    text: str,
    message: str,
) -> None:
    made(make, tmp_path)
    change(tmp_path / file, line, text)
    with pytest.raises(DataError, match=message):
        read(tmp_path)


@pytest.mark.parametrize(
    ("make", "file"),
    [
        (make_cub, "bounding_boxes.txt"),
        (make_cub, "images.txt"),
        (make_sop, "Ebay_test.txt"),
        pytest.param(make_vehicleid, "train_test_split/test_list_800.txt", marks=pytest.mark.slow),
        pytest.param(make_cars_halves, "cars_test_annos_withlabels.mat", marks=pytest.mark.slow),
    ],
)
def test_a_missing_annotation_file_is_named_with_what_the_directory_should_hold(
    tmp_path: Path, made: Made, make: Make, file: str
) -> None:
    made(make, tmp_path)
    (tmp_path / file).unlink()
    with pytest.raises(DataError, match=rf"{file} is missing(.|\n)*should hold .*{file.split('/')[-1]}"):
        open_source(tmp_path)


def test_damaged_car_annotations(tmp_path: Path) -> None:
    from numpy.lib.recfunctions import repack_fields
    from scipy.io import savemat

    file = tmp_path / "cars_annos.mat"
    records = car_records([(1, 1), (2, 197), (3, 3)], "relative_im_path", "car_ims/")
    records["class"][2] = "three"
    savemat(file, {"annotations": records})
    with pytest.raises(DataError, match=r"row 2: class 197(.|\n)*row 3: class or box"):
        cars196.read(tmp_path)
    savemat(file, {"annotations": repack_fields(records[["relative_im_path", "bbox_x1"]])})
    with pytest.raises(DataError, match="lacks class, bbox_y1"):
        cars196.read(tmp_path)
    savemat(file, {"annotations": car_records([(1, 1)], "relative_im_path", "car_ims/")})
    assert len(cars196.read(tmp_path, strict=False)) == 1
    for damage in (file.read_bytes()[:200], b"", b"MATLAB" * 50):
        file.write_bytes(damage)
        with pytest.raises(DataError, match=r"cars_annos\.mat: not a readable MATLAB file"):
            cars196.read(tmp_path)


# --- real annotations and pictures ------------------------------------------------------------------------------------


def test_the_real_annotations_of_cub(photographs: Path) -> None:
    manifest = open_source(photographs / "cub_annotations", DataConfig(crop_to_bbox=True))
    assert counts(manifest) == {"train": (5_864, 100), "test": (5_924, 100)}
    assert manifest.image[0] == "images/001.Black_footed_Albatross/Black_Footed_Albatross_0046_18.jpg"
    assert manifest.bbox is not None and manifest.bbox[0].tolist() == [60, 27, 325, 304]
    assert manifest.name is not None and (manifest.label[-1], manifest.name[-1]) == ("200", "Common Yellowthroat")


@pytest.mark.parametrize(("name", "train", "test"), [("cub100", 2_949, 2_953), ("cars196", 4_052, 4_092)])
def test_real_tables_of_labels(photographs: Path, name: str, train: int, test: int) -> None:
    manifest = open_source(photographs / name)
    half = len(manifest.classes()) // 2
    assert counts(manifest) == {"train": (train, half), "test": (test, half)} and manifest.row[0] == 2
    assert max(map(int, manifest.only("train").label)) < min(map(int, manifest.only("test").label))
    assert manifest.source == f"{name}/labels.csv" and manifest.path(len(manifest) - 1).is_file()


# --- tables -----------------------------------------------------------------------------------------------------------


def csv(folder: Path, text: str, name: str = "labels.csv") -> Path:
    file = folder / name
    file.write_bytes(text.encode())
    return file


FOUR = "image,label\na.jpg,1\nb.jpg,1\nc.jpg,2\nd.jpg,2\n"


def test_csv_with_everything(tmp_path: Path) -> None:
    text = (
        "\ufeffImage, LABEL ,split,group,bbox,name,note\r\n"
        '"a, b.jpg",001,Train,x,1 2 3.5 4,"one\r\nmore",!\r\n'
        ",,\r\n"
        "\r\n"
        ",,,,,,\r\n"
        "c.jpg,1,validation,,,uno,\r\n"
        '/d.jpg, 1 ,TEST,y,"[5, 6, 7, 8]",,\r\n'
    )
    manifest = open_source(csv(tmp_path, text), DataConfig(crop_to_bbox=True))
    assert manifest.image.tolist() == ["a, b.jpg", "c.jpg", "/d.jpg"] and manifest.label.tolist() == ["001", "1", "1"]
    assert manifest.split.tolist() == ["train", "val", "test"] and manifest.row.tolist() == [2, 7, 8]
    assert manifest.bbox is not None and manifest.group is not None and manifest.name is not None
    assert manifest.bbox[[0, 2]].tolist() == [[1, 2, 3.5, 4], [5, 6, 7, 8]] and np.isnan(manifest.bbox[1]).all()
    assert manifest.group.tolist() == ["x", "", "y"] and manifest.name[1] == "uno"
    assert manifest.root == tmp_path and manifest.path(1) == tmp_path / "c.jpg"


def test_csv_with_semicolons_and_four_columns_of_a_box(tmp_path: Path) -> None:
    text = "label;image;x;y;w;h\nä;a.jpg;1;2;3;4\nä;b.jpg;;;;\nb;c.jpg;0;0;1;1\nb;d,e.jpg;0;0;1;1\n"
    manifest = open_source(csv(tmp_path, text, "table.CSV"), DataConfig(crop_to_bbox=True, test_classes=0))
    assert manifest.label[0] == "ä" and manifest.image[3] == "d,e.jpg"
    assert manifest.bbox is not None and manifest.bbox[0].tolist() == [1, 2, 3, 4] and np.isnan(manifest.bbox[1]).all()


def test_all_faulty_rows_are_counted_and_the_first_ten_named(tmp_path: Path) -> None:
    text = FOUR + "".join(f"{number}.jpg, \n" for number in range(12)) + ",3\n"
    with pytest.raises(DataError, match="13 faulty rows") as caught:
        open_source(csv(tmp_path, text))
    message = str(caught.value)
    assert "row 6: the label is missing" in message and "row 15:" in message and "row 16:" not in message
    assert "and 3 more" in message
    text = (
        "image,label,split,bbox\na.jpg,1,tets,1 2 3 4\nb.jpg,1,,1 2 3\nc.jpg,1,test,1 2 0 4\nd.jpg,1,test,nan 2 3 4\n"
    )
    with pytest.raises(DataError, match="5 faulty rows") as caught:
        open_source(csv(tmp_path, text))
    for part in (
        "row 2: unknown split 'tets': did you mean 'test'?",
        "row 3: the split is missing",
        "row 3: not a box",
    ):
        assert part in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("image,lable\na.jpg,1\n", r"no column 'label'(.|\n)*rename the column 'lable' to 'label'"),
        ("a.jpg,1\nb.jpg,2\n", r"no column 'image'(.|\n)*the first line should name the columns"),
        ("", "no column 'image'; the columns are none"),
        ("image,label,image\na,1,b\n", "two columns 'image'"),
        ("image,label,spilt\na.jpg,1,test\n", r"unknown column 'spilt'(.|\n)*did you mean 'split'"),
        (FOUR + "e.jpg\n", r"row 6: 1 cells under 2 columns"),
        (FOUR + '"e.jpg,2\n' + "x" * 200_000, "row 6: a quote is opened here and closed nowhere"),
        (FOUR + 'e.jpg,"2\nf.jpg,3\n', "row 6: a quote is opened here and closed nowhere"),
        (FOUR + '"e.jpg\n",2,3\n', "row 6: 3 cells under 2 columns, in lines 6 to 7"),
        (FOUR + "e\0.jpg,2\n", "row 6: the image holds a zero byte"),
        ("image,label\n", "no pictures"),
        ("image,label\na.jpg,x\nb.jpg,x\n", "one class only, 'x'"),
        ("image,label\na.jpg,x\nb.jpg,y\n", "each of the 2 classes has a single picture"),
        (FOUR, "2 classes are too few"),
        ("image,label,split\na.jpg,1,query\nb.jpg,1,train\nc.jpg,2,train\n", "'query', but none of split 'gallery'"),
        ("image,label,split\na.jpg,1,query\nb.jpg,1,gallery\nc.jpg,2,test\n", "'test' beside 'query' and 'gallery'"),
    ],
)
def test_tables_that_cannot_be_used(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        open_source(csv(tmp_path, text))
    assert "labels.csv" in str(caught.value) and caught.value.remedy


def test_a_table_that_is_not_utf8_or_not_a_table(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_bytes("image,label\nä.jpg,1\n".encode("latin-1"))
    with pytest.raises(DataError, match="UTF-8"):
        open_source(tmp_path)
    (tmp_path / "photos.zip").write_bytes(b"PK")
    with pytest.raises(DataError, match=r"'\.zip' are no source"):
        open_source(tmp_path / "photos.zip")
    (tmp_path / "t.parquet").write_bytes(b"PAR1 or not")
    with pytest.raises(DataError, match="not a readable Parquet file"):
        open_source(tmp_path / "t.parquet")
    with pytest.raises(DataError, match=r"no such file(.|\n)*did you mean .*photos\.zip"):
        open_source(tmp_path / "photo.zip")


def test_query_and_gallery_in_a_table_set_the_protocol(tmp_path: Path) -> None:
    text = "image,label,split\na.jpg,1,query\nb.jpg,1,gallery\nc.jpg,2,train\nd.jpg,2,train\n"
    assert open_source(csv(tmp_path, text)).protocol == "query-gallery"


def test_parquet_tables_and_saved_manifests(tmp_path: Path) -> None:
    import pyarrow
    from pyarrow import parquet

    columns = {
        "Image": ["a.jpg", "b.jpg", "c.jpg"],
        "label": [1.0, 1.0, 2.0],
        "split": ["train", "train", "test"],
        "bbox": [[1.0, 2.0, 3.0, 4.0], None, [0.0, 0.0, 9.0, 9.0]],
        "other": [{"a": 1}] * 3,
    }
    parquet.write_table(pyarrow.table(columns), tmp_path / "t.parquet")
    manifest = open_source(tmp_path / "t.parquet", DataConfig(crop_to_bbox=True))
    assert manifest.label.tolist() == ["1", "1", "2"] and manifest.row.tolist() == [1, 2, 3]
    assert manifest.bbox is not None and manifest.bbox[2].tolist() == [0, 0, 9, 9] and np.isnan(manifest.bbox[1]).all()
    (tmp_path / "elsewhere").mkdir()
    manifest.save(tmp_path / "elsewhere" / "m.parquet")
    again = open_source(tmp_path / "elsewhere" / "m.parquet", DataConfig(crop_to_bbox=True))
    assert again.fingerprint() == manifest.fingerprint() and again.root == tmp_path
    parquet.write_table(pyarrow.table({**columns, "label": [1.0, None, 2.0]}), tmp_path / "t.parquet")
    with pytest.raises(DataError, match="row 2: the label is missing"):
        open_source(tmp_path / "t.parquet")
    parquet.write_table(pyarrow.table({"image": ["a"], "labels": ["b"]}), tmp_path / "t.parquet")
    with pytest.raises(DataError, match="rename the column 'labels' to 'label'"):
        open_source(tmp_path / "t.parquet")


# --- folders ----------------------------------------------------------------------------------------------------------


def pictures(folder: Path, *names: str) -> Path:
    """Empty files: readers do not open pictures."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def test_a_folder_of_class_folders(tmp_path: Path) -> None:
    pictures(
        tmp_path, "10/a9.JPG", "10/a10.webp", "9/deep/er/c10.png", "9/c9.jpeg", "train/d.tiff", "train/e.gif", "7/f.bmp"
    )
    pictures(
        tmp_path, "loose.jpg", ".hidden/g.jpg", "9/.h.jpg", "9/.i/j.jpg", "9/notes.txt", "papers/k.pdf", "7/l.avif"
    )
    manifest = open_source(tmp_path)
    assert manifest.image.tolist() == [
        *(
            "7/f.bmp",
            "7/l.avif",
            "9/c9.jpeg",
            "9/deep/er/c10.png",
            "10/a9.JPG",
            "10/a10.webp",
            "train/d.tiff",
            "train/e.gif",
        )
    ]
    assert manifest.only("test").classes() == ["10", "train"] and manifest.only("train").classes() == ["7", "9"]
    assert manifest.row.tolist() == list(range(1, 9)) and manifest.root == tmp_path


def test_split_folders_above_the_classes(tmp_path: Path) -> None:
    pictures(tmp_path, "Train/a/1.jpg", "Train/a/2.jpg", "query/b/1.jpg", "gallery/b/2.jpg", "validation/c/deep/1.jpg")
    manifest = open_source(tmp_path)
    assert dict(zip(manifest.image, manifest.split, strict=True)) == {
        "Train/a/1.jpg": "train",
        "Train/a/2.jpg": "train",
        "query/b/1.jpg": "query",
        "gallery/b/2.jpg": "gallery",
        "validation/c/deep/1.jpg": "val",
    }
    assert manifest.classes() == ["a", "b", "c"] and manifest.protocol == "query-gallery"


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([], "no pictures in this folder"),
        (["a/readme.txt"], "no pictures in this folder"),
        (["1.jpg", "2.jpg"], r"side by side(.|\n)*labels\.csv"),
        (["train/a/1.jpg", "train/a/2.jpg", "test/3.jpg"], r"test: the pictures lie side by side"),
        (["train/a/1.jpg", "test/b/2.jpg", "extra/3.jpg"], r"named like splits, and some are not \('extra'\)"),
        (["a/1.jpg", "a/2.jpg"], "one class only, 'a'"),
        (["a/1.jpg", "b/2.jpg"], "single picture"),
        (["a/1.jpg", "b/2.jpg", "b/\udcff.jpg"], "not valid text"),
    ],
)
def test_folders_that_cannot_be_used(tmp_path: Path, names: list[str], message: str) -> None:
    pictures(tmp_path, *names)
    with pytest.raises(DataError, match=message) as caught:
        open_source(tmp_path)
    assert caught.value.remedy


def test_a_folder_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pictures(tmp_path, "a/1.jpg", "a/2.jpg")

    def refuse(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(DataError, match=f"{tmp_path}: cannot be read: Permission denied"):
        open_source(tmp_path)


def test_a_given_format_overrides_what_the_source_looks_like(tmp_path: Path) -> None:
    pictures(tmp_path, *(f"{label}/{number}.jpg" for label in "abcd" for number in range(2)))
    csv(tmp_path, "image,label,split\na/0.jpg,x,train\na/1.jpg,x,train\nb/0.jpg,y,train\n")
    assert open_source(tmp_path).classes() == ["x", "y"]
    assert open_source(tmp_path, DataConfig(format="folder")).classes() == ["a", "b", "c", "d"]
    with pytest.raises(DataError, match=r"Ebay_train\.txt is missing"):
        open_source(tmp_path, DataConfig(format="sop"))
